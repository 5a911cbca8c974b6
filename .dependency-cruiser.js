// The layers of src, the highest first. A folder imports only from its own files and from layers below its own; types count.
const layers = [
  ['interop', 'testing'],
  ['interop/to-streams'],
  ['interop/from-streams'],
  ['server', 'client', 'requests'],
  ['options'],
  ['connection', 'reconnect'],
  ['channel'],
  ['io'],
  ['transport/memory', 'transport/node'],
  ['transport/node/tls', 'transport/node/unix'],
  ['transport/node/internals'],
  ['transport'],
  ['codecs', 'flow', 'proxy-protocol'],
  ['address-parsing', 'bytes', 'collections', 'scheduling'],
  ['validation'],
  ['errors'],
  ['address'],
];

/** Matches the files directly in each of the folders. */
const filesIn = (folders) => `^src/(${folders.join('|')})/[^/]+$`;

/** A folder may not import from a layer above it, nor from a different folder of its own layer. */
const downward = layers.flatMap((layer, index) =>
  layer.map((folder) => ({
    name: `${folder}-imports-downward`,
    severity: 'error',
    from: { path: filesIn([folder]) },
    to: {
      path: filesIn(
        layers
          .slice(0, index + 1)
          .flat()
          .filter((other) => other !== folder),
      ),
    },
  })),
);

export default {
  forbidden: [
    { name: 'no-circle', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'every-folder-has-a-layer',
      severity: 'error',
      from: {},
      to: { path: '^src/', pathNot: [filesIn(layers.flat()), '^src/(index|ix)\\.ts$'] },
    },
    {
      name: 'nothing-imports-an-entry-point',
      severity: 'error',
      from: {},
      to: { path: '^src/[a-z/]*(index|ix)\\.ts$' },
    },
    {
      // Elsewhere `node:net` is used for IP addresses alone (isIP, BlockList, SocketAddress), and never for a socket.
      name: 'sockets-of-node-in-transport-only',
      severity: 'error',
      from: { pathNot: '^src/(transport|address-parsing|proxy-protocol)/' },
      to: { path: '^(node:)?(net|tls)$' },
    },
    {
      name: 'ix-in-its-entry-point-only',
      severity: 'error',
      from: { pathNot: '^src/ix\\.ts$' },
      to: { path: '(^|node_modules/)ix(/|$)' },
    },
    { name: 'imports-exist', severity: 'error', from: {}, to: { couldNotResolve: true } },
    { name: 'no-orphan', severity: 'error', from: { orphan: true }, to: {} },
    ...downward,
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
