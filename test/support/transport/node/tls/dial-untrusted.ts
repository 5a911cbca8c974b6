import { connect } from 'rxjs-sockets';

// Dials the TLS server at argv[2], whose certificate is not trusted, and prints the result. With `trusting` as argv[3],
// the program does not verify the certificate.
const [, , address = '', trusting] = process.argv;
const tls = { servername: 'localhost', ...(trusting === 'trusting' ? { rejectUnauthorized: false } : {}) };

const subscription = connect(address, { tls }).subscribe({
  next: ({ status }) => {
    if (status !== 'connected') return;
    console.log(status);
    subscription.unsubscribe();
  },
  error: (error: unknown) => {
    console.log((error as { code: string }).code);
  },
});
