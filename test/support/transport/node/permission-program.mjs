// Runs under Node's permission model: permitted.mjs LIBRARY. For each address that its parent sends it tells how a server
// there and an echo went, or, for one with `dial`, how a client did.
const { connect, listen } = await import(process.argv[2]);

const told = (error) => ({ code: error.code, cause: error.cause?.code });

function echo(address) {
  return new Promise((resolve) => {
    const server = listen(address);
    const serving = server.subscribe({
      next: ({ data }) => data.subscribe(data),
      error: (error) => resolve(told(error)),
    });
    server.listening.subscribe((bound) => {
      const client = connect(bound);
      client.data.subscribe({
        next: (bytes) => {
          client.data.complete();
          serving.unsubscribe();
          resolve({ answer: bytes.toString() });
        },
        error: (error) => resolve(told(error)),
      });
      client.data.next('hello');
    });
  });
}

function dial(address) {
  return new Promise((resolve) => {
    connect(address).subscribe({ error: (error) => resolve(told(error)) });
  });
}

process.on('uncaughtException', (error) => process.send({ uncaught: error.message }));
process.on('message', async ({ address, dials }) => {
  process.send(await (dials ? dial(address) : echo(address)));
});
process.send('ready');
