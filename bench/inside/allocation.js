/**
 * A server that counts the objects of its heap: `<library> <kind> [path]`. The parent asks: 'begin' and 'end' for what was
 * allocated in between, 'settle' for what is alive.
 */
import inspector from 'node:inspector';

const [, , library, kind = '', path] = process.argv;
/** @type {{ serve: (kind: string, path: string | undefined, listening: (port: number) => void) => void }} */
const { serve } = await import(`./allocation-${library}.js`);
serve(kind, path, (port) => tell({ port }));

const session = new inspector.Session();
session.connect();

process.on('message', (question) => {
  switch (question) {
    case 'begin':
      // Every object is looked at, and remembered also after it was collected.
      session.post('HeapProfiler.startSampling', {
        samplingInterval: 1,
        includeObjectsCollectedByMajorGC: true,
        includeObjectsCollectedByMinorGC: true,
      });
      tell({});
      break;
    case 'end':
      session.post('HeapProfiler.stopSampling', (error, result) => {
        if (error !== null) throw error;
        tell(counted(result.profile));
      });
      break;
    case 'settle':
      for (let i = 0; i < 3; i++) globalThis.gc?.();
      tell({ bytes: process.memoryUsage().heapUsed });
      break;
  }
});
process.on('disconnect', () => process.exit(0));

/** What was called by no function. */
const engine = 'the engine';

/**
 * How many objects there were, how many of them by functions that are not Node's, of how many bytes, and which functions made how
 * many.
 *
 * @param {inspector.HeapProfiler.SamplingHeapProfile} profile
 */
function counted({ head, samples }) {
  const names = new Map();
  const visit = (/** @type {inspector.HeapProfiler.SamplingHeapProfileNode} */ node, /** @type {string} */ caller) => {
    const { functionName, url, lineNumber } = node.callFrame;
    const file = url.startsWith('node:') ? url : String(url.split('/').at(-1));
    // What a built-in function makes is put down to who has called it.
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

/** @param {object} what */
function tell(what) {
  process.send?.(what);
}
