// @ts-check
/** Models: onnxruntime-web and the networks, fetched from this site and run in the browser. */
import { UserError, preprocess } from "./image.js";
import { toUnit } from "./heatmap.js";

const MOST_THREADS = 4;
/** @type {Promise<any> | undefined} */
let runtime;
/** @type {Map<string, Promise<any>>} */
const sessions = new Map();

/**
 * Classify an image by one model.
 * @param {any} entry of page.json
 * @param {ImageBitmap | HTMLCanvasElement} image
 */
export async function classify(entry, image) {
  const session = await openSession(entry);
  const ort = await runtime;
  const { values, blank } = preprocess(image, entry);
  const input = new ort.Tensor("float32", values, [1, 3, entry.size, entry.size]);
  const { logits, maps, gate } = await session.run({ pixel_values: input });
  const probabilities = softmax(logits.data);
  const top = Math.max(...probabilities);
  const [, , height, width] = maps.dims;
  return {
    entry,
    probabilities,
    label: probabilities.indexOf(top),
    gate: blank ? "blank" : judge(entry.gate, gate?.data, top),
    shareRight: entry.reliability && interpolate(top, entry.reliability),
    heatmap(/** @type {number} */ label) {
      const raw = maps.data.slice(label * height * width, (label + 1) * height * width);
      return { height, width, ...toUnit(raw, height, width, entry.size) };
    },
  };
}

/** @typedef {Awaited<ReturnType<typeof classify>>} Result */

/**
 * @param {any} gate of page.json
 * @param {ArrayLike<number> | undefined} measured distance and classifier score
 * @param {number} top the highest probability
 */
function judge(gate, measured, top) {
  if (!gate || !measured) return "unjudged";
  // Negated, so that NaN is rejected.
  if (!(measured[0] <= (gate.distance_limit ?? Infinity) && measured[1] <= 0)) return "strange";
  return top >= gate.unsure_below ? "accepted" : "unsure";
}

/** @param {any} entry */
function openSession(entry) {
  let session = sessions.get(entry.file);
  if (!session) {
    sessions.clear(); // one network in memory at a time
    session = (async () => {
      runtime ??= loadRuntime();
      const [ort, bytes] = await Promise.all([runtime, fetchBytes(entry.file)]);
      return ort.InferenceSession.create(new Uint8Array(bytes), { executionProviders: ["wasm"] });
    })();
    sessions.set(entry.file, session);
    session.catch(() => {
      sessions.delete(entry.file);
      runtime = undefined;
    });
  }
  return session;
}

async function loadRuntime() {
  if (typeof WebAssembly !== "object") {
    throw new UserError(
      "This browser does not run WebAssembly, which the models need. Use a current browser, or " +
      "enable WebAssembly.",
    );
  }
  const script = "./runtime/ort.wasm.bundle.min.mjs";
  const [ort, wasm] = await Promise.all([
    import(script),
    fetchBytes("runtime/ort-wasm-simd-threaded.wasm.gz"),
  ]);
  ort.env.wasm.wasmBinary = wasm;
  const cores = navigator.hardwareConcurrency || 1;
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(cores, MOST_THREADS) : 1;
  return ort;
}

/** @param {string} path on this site; decompressed unless the server has declared the compression */
async function fetchBytes(path) {
  const answer = await fetch(path).catch(() => null);
  if (!answer?.ok) throw new UserError(`${path} could not be loaded. Check the connection.`);
  const bytes = await answer.arrayBuffer();
  const [first, second] = new Uint8Array(bytes, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return bytes;
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked).arrayBuffer();
}

/** @param {ArrayLike<number>} logits @returns {number[]} */
function softmax(logits) {
  const highest = Math.max(...Array.from(logits));
  const powers = Array.from(logits, (value) => Math.exp(value - highest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** @param {number} x @param {{scores: number[], shares: number[]}} line */
function interpolate(x, { scores, shares }) {
  const after = scores.findIndex((score) => score > x);
  if (after === 0) return shares[0];
  if (after < 0) return shares[shares.length - 1];
  const share = (x - scores[after - 1]) / (scores[after] - scores[after - 1]);
  return shares[after - 1] + share * (shares[after] - shares[after - 1]);
}
