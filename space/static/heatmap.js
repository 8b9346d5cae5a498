// @ts-check
/** Heatmaps: enlarged and drawn in colour over the picture, with an opacity that follows the map. */
import { bicubic, bilinear, kernels, openCanvas } from "./image.js";

const SHOWN = 768; // pixels: the longer side of what is shown
const FAINTEST = 0.3; // lower values have no colour
const STEEPNESS = 0.7;
const UNSEEN = 0.4; // brightness of parts that the network did not receive

/**
 * Return a heatmap scaled to [0, 1] by the minimum and maximum of the enlarged map.
 * @param {ArrayLike<number>} raw (h, w)
 * @param {number} height
 * @param {number} width
 * @param {number} size of the network's input
 * @returns {{cells: Float32Array, map: Float32Array, flat: boolean}} (h, w) and (S, S)
 */
export function toUnit(raw, height, width, size) {
  // Bilinearly, as by OpenCV and pytorch-grad-cam.
  const map = enlarge(raw, height, width, size, bilinear);
  let [low, high] = [Infinity, -Infinity];
  for (const value of map) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const flat = !(high > low);
  const unit = (/** @type {number} */ value) => (flat ? 0 : (value - low) / (high - low));
  return { cells: Float32Array.from(raw, unit), map: map.map(unit), flat };
}

/** Copy an image in the size that is shown. @param {ImageBitmap} image */
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
  const map = enlarge(heatmap.cells, heatmap.height, heatmap.width, side, bicubic); // smoother
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
 * Enlarge a map to a square.
 * @param {ArrayLike<number>} cells (h, w)
 * @param {number} height
 * @param {number} width
 * @param {number} side of the square
 * @param {(x: number) => number} filter
 */
function enlarge(cells, height, width, side, filter) {
  const [down, across] = [height, width].map((length) => kernels(length, side, { filter }).taps);
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
