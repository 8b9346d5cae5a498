// @ts-check
/** Heatmaps: a few cells in colour over the picture, as strong as they are high. */
import { kernels, openCanvas } from "./image.js";

const SHOWN = 768; // pixels: the longer side of what is shown
const FAINTEST = 0.3; // lower values are not coloured
const STEEPNESS = 0.7;
const UNSEEN = 0.4; // of its brightness is left to what the network did not see

/**
 * Return a heatmap scaled to [0, 1] between its least and greatest value once enlarged.
 * @param {ArrayLike<number>} raw (h, w)
 * @param {number} height
 * @param {number} width
 * @param {number} size of the network's input
 * @returns {{cells: Float32Array, map: Float32Array, flat: boolean}} (h, w) and (S, S)
 */
export function toUnit(raw, height, width, size) {
  const map = enlarge(raw, height, width, size);
  let [low, high] = [Infinity, -Infinity];
  for (const value of map) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const flat = !(high > low);
  const unit = (/** @type {number} */ value) => (flat ? 0 : (value - low) / (high - low));
  return { cells: Float32Array.from(raw, unit), map: map.map(unit), flat };
}

/**
 * Enlarge bilinearly, as OpenCV and so pytorch-grad-cam do.
 * @param {ArrayLike<number>} raw (h, w)
 * @param {number} height
 * @param {number} width
 * @param {number} size
 */
function enlarge(raw, height, width, size) {
  const places = (/** @type {number} */ from) =>
    Array.from({ length: size }, (_, index) => {
      const place = Math.min(Math.max(((index + 0.5) * from) / size - 0.5, 0), from - 1);
      const first = Math.floor(place);
      return [first, Math.min(first + 1, from - 1), place - first];
    });
  const [down, across] = [places(height), places(width)];
  const found = new Float32Array(size * size);
  down.forEach(([upper, lower, below], row) =>
    across.forEach(([left, right, beyond], column) => {
      const at = (/** @type {number} */ line) =>
        raw[line * width + left] * (1 - beyond) + raw[line * width + right] * beyond;
      found[row * size + column] = at(upper) * (1 - below) + at(lower) * below;
    }),
  );
  return found;
}

/** Copy an image to the size at which it is shown. @param {ImageBitmap} image */
export function copyPicture(image) {
  const scale = SHOWN / Math.max(image.width, image.height);
  const side = (/** @type {number} */ length) => Math.max(1, Math.round(length * scale));
  const { canvas, context } = openCanvas(side(image.width), side(image.height));
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/**
 * Draw the picture, the heatmap over it, or the heatmap alone.
 * @param {HTMLCanvasElement} target
 * @param {HTMLCanvasElement} picture
 * @param {{cells: Float32Array, height: number, width: number} | null} heatmap
 * @param {{view: string, opacity: number, colours: Uint8Array}} options
 */
export function paint(target, picture, heatmap, { view, opacity, colours }) {
  const { width, height } = picture;
  [target.width, target.height] = [width, height];
  const context = target.getContext("2d");
  if (!context) throw new RangeError("no memory for a canvas");
  context.drawImage(picture, 0, 0);
  if (!heatmap || view === "image") return;
  const image = context.getImageData(0, 0, width, height);
  const side = Math.min(width, height);
  const [left, top] = [(width - side) >> 1, (height - side) >> 1];
  const map = enlargeSmoothly(heatmap, side);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = 4 * (row * width + column);
      const seen = row >= top && row < top + side && column >= left && column < left + side;
      const value = seen ? map[(row - top) * side + column - left] : 0;
      paintPixel(image.data, at, { seen, value, view, opacity, colours });
    }
  }
  context.putImageData(image, 0, 0);
}

/**
 * @param {Uint8ClampedArray} pixels
 * @param {number} at
 * @param {{seen: boolean, value: number, view: string, opacity: number, colours: Uint8Array}} one
 */
function paintPixel(pixels, at, { seen, value, view, opacity, colours }) {
  if (!seen) {
    const grey = 0.299 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2];
    pixels.fill(view === "map" ? 0 : UNSEEN * grey, at, at + 3);
    return;
  }
  const strength = Math.min(Math.max((value - FAINTEST) / (1 - FAINTEST), 0), 1) ** STEEPNESS;
  const weight = view === "map" ? 1 : opacity * strength;
  const colour = 3 * Math.min(255, Math.max(0, Math.floor(256 * value)));
  for (let channel = 0; channel < 3; channel++) {
    pixels[at + channel] = pixels[at + channel] * (1 - weight) + colours[colour + channel] * weight;
  }
}

/**
 * Enlarge by a bicubic surface, without the corners that straight lines would have.
 * @param {{cells: Float32Array, height: number, width: number}} heatmap
 * @param {number} side
 */
function enlargeSmoothly({ cells, height, width }, side) {
  const [down, across] = [kernels(height, side).taps, kernels(width, side).taps];
  const rows = new Float32Array(height * side);
  across.forEach(({ first, weights }, column) => {
    for (let row = 0; row < height; row++) {
      rows[row * side + column] = weights.reduce(
        (sum, weight, tap) => sum + weight * cells[row * width + first + tap], 0,
      );
    }
  });
  const found = new Float32Array(side * side);
  down.forEach(({ first, weights }, row) =>
    weights.forEach((weight, tap) => {
      for (let column = 0; column < side; column++) {
        found[row * side + column] += weight * rows[(first + tap) * side + column];
      }
    }),
  );
  return found;
}
