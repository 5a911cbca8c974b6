// Loads every entry point that needs only RxJS, as CommonJS does.
const { listen } = require('rxjs-sockets');
const { lines } = require('rxjs-sockets/codecs');
const { toNodeStream } = require('rxjs-sockets/interop');
const { memoryTransport } = require('rxjs-sockets/testing');

console.log(typeof listen, typeof lines, typeof toNodeStream, typeof memoryTransport);
import('rxjs-sockets').then((module) => console.log(module.listen === listen ? 'one copy' : 'two copies'));
