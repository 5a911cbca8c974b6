/**
 * A server that counts the objects on its own heap. The arguments are `<library> <kind> [path]`. The server counts
 * allocations from the message 'begin' to the message 'end'. After the message 'settle', the server reports the live
 * bytes of its heap.
 */
import inspector from 'node:inspector';

const [, , library, kind = '', path] = process.argv;
/** @type {{ serve: (kind: string, path: string | undefined, listening: (port: number) => void) => void }} */
const { serve } = await import(`./allocation-${library}.js`);
serve(kind, path, (port) => report({ port }));

const session = new inspector.Session();
session.connect();

process.on('message', (question) => {
  switch (question) {
    case 'begin':
      // The profiler samples every object, and keeps garbage-collected objects in the profile.
      session.post('HeapProfiler.startSampling', {
        samplingInterval: 1,
        includeObjectsCollectedByMajorGC: true,
        includeObjectsCollectedByMinorGC: true,
      });
      report({});
      break;
    case 'end':
      session.post('HeapProfiler.stopSampling', (error, result) => {
        if (error !== null) throw error;
        report(counted(result.profile));
      });
      break;
    case 'settle':
      for (let i = 0; i < 3; i++) globalThis.gc?.();
      report({ bytes: process.memoryUsage().heapUsed });
      break;
  }
});
process.on('disconnect', () => process.exit(0));

const engine = 'the engine';

/**
 * Counts all objects, the objects that neither Node nor V8 made, all bytes, and the objects that each function made.
 *
 * @param {inspector.HeapProfiler.SamplingHeapProfile} profile
 */
function counted({ head, samples }) {
  const names = new Map();
  const visit = (/** @type {inspector.HeapProfiler.SamplingHeapProfileNode} */ node, /** @type {string} */ caller) => {
    const { functionName, url, lineNumber } = node.callFrame;
    const file = url.startsWith('node:') ? url : String(url.split('/').at(-1));
    // An allocation in a built-in function counts as an allocation of the function that called it.
    const name = url === '' ? caller : `${functionName || 'a function'} (${file}:${lineNumber + 1})`;
    names.set(node.id, name);
    for (const child of node.children) visit(child, name);
  };
  visit(head, engine);
  const places = /** @type {Record<string, number>} */ ({});
  let bytes = 0;
  let own = 0;
  for (const { size, nodeId } of samples) {
    bytes += size;
    const name = String(names.get(nodeId));
    if (!name.includes('(node:') && name !== engine) own++;
    places[name] = (places[name] ?? 0) + 1;
  }
  return { objects: samples.length, own, bytes, places };
}

/** @param {object} message */
function report(message) {
  process.send?.(message);
}
