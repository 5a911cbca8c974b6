/**
 * A server that counts the objects of its heap: `<library> <kind> [path]`. Its parent sends 'begin' and 'end' to count the
 * allocations in between, and 'settle' to count the live bytes.
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
      // Every object is sampled, and kept in the profile after it was collected.
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

/** The name for allocations outside any function. */
const engine = 'the engine';

/**
 * Counts the objects, those made by functions other than Node's, their bytes, and the objects for each function.
 *
 * @param {inspector.HeapProfiler.SamplingHeapProfile} profile
 */
function counted({ head, samples }) {
  const names = new Map();
  const visit = (/** @type {inspector.HeapProfiler.SamplingHeapProfileNode} */ node, /** @type {string} */ caller) => {
    const { functionName, url, lineNumber } = node.callFrame;
    const file = url.startsWith('node:') ? url : String(url.split('/').at(-1));
    // Allocations of a built-in function count for its caller.
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
