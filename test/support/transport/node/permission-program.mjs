// permission-program.mjs LIBRARY: runs under Node's permission model. For each address from its parent, it listens at
// the address, sends a text to its own echo, and reports the answer or the error. With `dials`, it only dials the
// address, and reports the error.
const { connect, listen } = await import(process.argv[2]);

const codesOf = (error) => ({ code: error.code, cause: error.cause?.code });

function echo(address) {
  return new Promise((resolve) => {
    const server = listen(address);
    const serving = server.subscribe({
      next: ({ data }) => data.subscribe(data),
      error: (error) => resolve(codesOf(error)),
    });
    server.listening.subscribe((bound) => {
      const client = connect(bound);
      client.data.subscribe({
        next: (bytes) => {
          client.data.complete();
          serving.unsubscribe();
          resolve({ answer: bytes.toString() });
        },
        error: (error) => resolve(codesOf(error)),
      });
      client.data.next('hello');
    });
  });
}

function dial(address) {
  return new Promise((resolve) => {
    connect(address).subscribe({ error: (error) => resolve(codesOf(error)) });
  });
}

process.on('uncaughtException', (error) => process.send({ uncaught: error.message }));
process.on('message', async ({ address, dials }) => {
  process.send(await (dials ? dial(address) : echo(address)));
});
process.send('ready');
