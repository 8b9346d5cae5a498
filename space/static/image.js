// @ts-check
/** Images: read within limits, scaled exactly as by Pillow, and normalised for a network. */

const MAX_BYTES = 10 * 2 ** 20;
const MAX_PIXELS = 40e6;
const STRIP = 256; // rows that are read from an image at a time
const BLANK = 8; // of 255: the range of each colour in a blank image
const REACH = 2; // pixels: half the width of the bicubic kernel, the wider one

/** An error whose message is shown to the visitor. */
export class UserError extends Error {}

/** An image that can't be read. */
export class ImageError extends UserError {}

/**
 * Read an image file, upright and in sRGB.
 * @param {Blob & {name?: string}} file
 * @returns {Promise<ImageBitmap>}
 */
export async function readImage(file) {
  const name = file.name?.slice(-80) || "The image";
  if (!file.size) throw new ImageError(`${name} is empty. Choose another file.`);
  if (file.size > MAX_BYTES) throw new ImageError(`${name} is larger than 10 MB. Make it smaller.`);
  const address = URL.createObjectURL(file);
  try {
    // The size is in the header, and is checked before the pixels are decoded.
    const { naturalWidth, naturalHeight } = await loadHeader(address);
    if (naturalWidth * naturalHeight > MAX_PIXELS) {
      throw new ImageError(
        `${name} has ${naturalWidth}×${naturalHeight} pixels; at most 40 million can be read. ` +
        "Make it smaller first.",
      );
    }
    return await createImageBitmap(file);
  } catch (error) {
    if (error instanceof ImageError) throw error;
    throw new ImageError(`${name} isn't an image, or is damaged. Use JPEG or PNG.`);
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** @param {string} address @returns {Promise<HTMLImageElement>} */
function loadHeader(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => (image.naturalWidth ? resolve(image) : reject(new Error("no size")));
    image.onerror = reject;
    image.src = address;
  });
}

/**
 * Return the pixel values of an image for a network: the centre square, scaled and normalised.
 * @param {ImageBitmap | HTMLCanvasElement} image
 * @param {{size: number, mean: number[], std: number[], rounding: string}} settings
 * @returns {{values: Float32Array, blank: boolean}} (3, S, S), and whether all pixels have nearly the same colour
 */
export function preprocess(image, { size, mean, std, rounding }) {
  const bytes = scaleCentre(image, size, rounding);
  const values = new Float32Array(3 * size * size);
  let blank = true;
  for (let channel = 0; channel < 3; channel++) {
    let low = 255;
    let high = 0;
    for (let at = 0; at < size * size; at++) {
      const value = bytes[3 * at + channel];
      low = Math.min(low, value);
      high = Math.max(high, value);
      values[channel * size * size + at] = (value / 255 - mean[channel]) / std[channel];
    }
    blank &&= high - low <= BLANK;
  }
  return { values, blank };
}

/**
 * Scale the shorter side to `size` pixels and crop the centre; only the crop is computed.
 * @param {ImageBitmap | HTMLCanvasElement} image
 * @param {number} size
 * @param {string} rounding "even" or "down": of the crop's offset
 * @returns {Uint8ClampedArray} (S, S, 3)
 */
function scaleCentre(image, size, rounding) {
  const shorter = Math.min(image.width, image.height);
  const [across, down] = [image.width, image.height].map((length) => {
    const scaled = length === shorter ? size : Math.trunc((size * length) / shorter);
    const half = (scaled - size) / 2;
    const first = rounding === "even" ? roundEven(half) : Math.floor(half);
    return kernels(length, scaled, { offset: first, count: size });
  });
  const rows = down.stop - down.start;
  const width = across.stop - across.start;
  const middle = new Uint8ClampedArray(rows * size * 3);
  const { canvas, context } = openCanvas(width, Math.min(STRIP, rows));
  for (let top = 0; top < rows; top += STRIP) {
    const height = Math.min(STRIP, rows - top);
    context.fillStyle = "white"; // behind transparent pixels
    context.fillRect(0, 0, width, height);
    const place = [across.start, down.start + top, width, height];
    context.drawImage(image, place[0], place[1], width, height, 0, 0, width, height);
    const strip = context.getImageData(0, 0, width, height).data;
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < size; column++) {
        const { first, weights } = across.taps[column];
        let at = 4 * (row * width + first - across.start);
        let [red, green, blue] = [0.5, 0.5, 0.5];
        for (const weight of weights) {
          red += weight * strip[at];
          green += weight * strip[at + 1];
          blue += weight * strip[at + 2];
          at += 4;
        }
        const to = 3 * ((top + row) * size + column);
        middle[to] = Math.floor(red);
        middle[to + 1] = Math.floor(green);
        middle[to + 2] = Math.floor(blue);
      }
    }
  }
  canvas.width = 0; // frees its memory at once
  const found = new Uint8ClampedArray(size * size * 3);
  for (let row = 0; row < size; row++) {
    const { first, weights } = down.taps[row];
    for (let at = 0; at < 3 * size; at++) {
      let sum = 0.5;
      weights.forEach((weight, tap) => {
        sum += weight * middle[3 * size * (first - down.start + tap) + at];
      });
      found[3 * size * row + at] = Math.floor(sum);
    }
  }
  return found;
}

/**
 * Return the weights for resizing a row of pixels, as Pillow computes them.
 * @param {number} from length of the row
 * @param {number} to length of the whole resized row
 * @param {{offset?: number, count?: number, filter?: (x: number) => number}} options first pixel and
 *   number of pixels of the result, and the filter
 * @returns {{start: number, stop: number, taps: {first: number, weights: number[]}[]}}
 */
export function kernels(from, to, { offset = 0, count = to, filter = bicubic } = {}) {
  const scale = from / to;
  const stretch = Math.max(1, scale); // antialiasing of reduced images
  const taps = Array.from({ length: count }, (_, index) => {
    const centre = (offset + index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - REACH * stretch + 0.5));
    const stop = Math.min(from, Math.trunc(centre + REACH * stretch + 0.5));
    const weights = Array.from({ length: stop - first }, (_, tap) =>
      filter((first + tap - centre + 0.5) / stretch),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
  const last = taps[count - 1];
  return { start: taps[0].first, stop: last.first + last.weights.length, taps };
}

/** @param {number} x */
export const bilinear = (x) => Math.max(0, 1 - Math.abs(x));

/** @param {number} x */
export function bicubic(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** Round halves to the even neighbour, as Python does. @param {number} value */
function roundEven(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}

/** @param {number} width @param {number} height */
export function openCanvas(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new RangeError("no memory for a canvas");
  return { canvas, context };
}
