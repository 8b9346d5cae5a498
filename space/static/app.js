// @ts-check
/** Page: verdict, probabilities and heatmap of one image. */
import { copyPicture, paint } from "./heatmap.js";
import { ImageError, UserError, readImage } from "./image.js";
import { classify } from "./model.js";

/** @typedef {import("./model.js").Result} Result */

const FIRST = "mel";
const MIN_PROBABILITY = 0.01; // the heatmap of a less probable class means little
const [FAINT, FULL] = [0.4, 0.75]; // opacity where the map is 1: of such a class, and of any other
const SHORT = { akiec: "Actinic keratosis / Bowen", nv: "Nevus (mole)" };

/** @type {any} */
let page;
/** @type {{picture: HTMLCanvasElement, example: boolean} | null} */
let shown = null;
/** @type {Result | null} */
let result = null;
let target = 0;
let colours = new Uint8Array();
let turn = 0; // number of the last request: results of earlier ones are dropped
/** @type {ImageBitmap | null} */
let bitmap = null;

/** @param {string} selector @returns {any} */
const find = (selector) => document.querySelector(selector);

/**
 * @param {string} tag
 * @param {Record<string, any>} properties
 * @param {...(Node | string)} children
 */
function make(tag, properties = {}, ...children) {
  const { dataset, ...others } = properties;
  const element = Object.assign(document.createElement(tag), others);
  Object.assign(element.dataset, dataset);
  element.append(...children);
  return element;
}

/** A probability in whole per cent, never as 0% or 100%. @param {number} probability */
function percent(probability) {
  if (probability < 0.01) return "< 1%";
  return probability > 0.99 ? "> 99%" : `${(100 * probability).toFixed(0)}%`;
}

/** @param {any} diagnosis @returns {Node | string} */
function dot(diagnosis) {
  return diagnosis.malignant ? make("span", { className: "dot", title: "malignant" }) : "";
}

/** Mark the buttons of one diagnosis as pressed. @param {string} selector @param {string} code */
function press(selector, code) {
  for (const button of document.querySelectorAll(selector)) {
    button.setAttribute("aria-pressed", String(/** @type {any} */ (button).dataset.dx === code));
  }
}

/** Read, classify and show a file. @param {Blob} file @param {string} example */
async function openFile(file, example = "") {
  const mine = ++turn;
  await attempt(async () => {
    press(".tiles button", example);
    const image = await readImage(file);
    if (mine !== turn) return image.close();
    bitmap?.close();
    bitmap = image;
    shown = { picture: copyPicture(image), example: Boolean(example) };
    paint(find("#image"), shown.picture, null, { view: "image", opacity: 0, colours });
    find("#image").hidden = false;
    await run(mine);
  });
}

/** Classify the current image by the selected model. @param {number} mine */
async function run(mine) {
  if (!bitmap) return;
  const found = await classify(page.models[find("#model select").selectedIndex], bitmap);
  if (mine !== turn) return;
  result = found;
  target = found.label;
  show(false);
}

/** Run an action and show its error, unless a later one has started. @param {() => Promise<any>} act */
async function attempt(act) {
  const mine = turn;
  document.body.classList.add("busy");
  try {
    await act();
  } catch (error) {
    if (mine === turn) showError(error);
  } finally {
    if (mine === turn) document.body.classList.remove("busy");
  }
}

/** @param {any} error */
function showError(error) {
  const message = String(error?.message ?? error);
  let text = message;
  if (!(error instanceof UserError)) {
    text = error instanceof RangeError || /memory|alloc|OOM/i.test(message)
      ? "There is not enough memory. Close other tabs, or choose a smaller image or model."
      : `The model could not be run here (${message.slice(0, 200)}). Reload the page, or choose another model.`;
  }
  const title = error instanceof ImageError ? "Image not usable" : "Something went wrong";
  result = null;
  find("#details").hidden = true;
  find("#image").hidden = true;
  find("#verdict").replaceChildren(
    make("section", { className: "panel problem", role: "alert" },
      make("h2", {}, title), make("p", {}, text)),
  );
}

/** @param {boolean} showRejected whether to show a result that the gate rejects */
function show(showRejected) {
  if (!result) return;
  const hidden = !showRejected && ["blank", "strange"].includes(result.gate);
  find("#drawn").hidden = !result.entry.drawn_only;
  find("#verdict").replaceChildren(hidden ? rejection(result) : verdict(result));
  find("#details").hidden = hidden;
  if (hidden) return;
  find("#bars").replaceChildren(...bars(result));
  find("#trust ul").replaceChildren(...trust(result).map((text) => make("li", {}, text)));
  explain(target);
}

/** @param {Result} found */
function rejection(found) {
  const rate = found.entry.gate?.rates.strange;
  const often = rate
    ? ` (About 1 in ${Math.max(2, Math.round(1 / rate))} genuine dermatoscope images is stopped by mistake.)`
    : "";
  const blank = found.gate === "blank";
  const text = blank
    ? "The image is blank: all of it has the same colour."
    : "This doesn't look like the dermatoscope images the model was trained on, so its result is " +
      `hidden.${often}`;
  return make("section", { className: "panel rejected", role: "note" },
    make("h2", {}, blank ? "Blank image" : "Result hidden"),
    make("p", {}, text),
    make("button", { type: "button", id: "anyway", onclick: () => show(true) }, "Show it anyway"));
}

/** @param {Result} found */
function verdict(found) {
  const diagnosis = page.diagnoses[found.label];
  const unsure = found.gate === "unsure";
  return make("section", { className: unsure ? "verdict unsure" : "verdict", dataset: { label: diagnosis.code } },
    shown?.example ? make("span", { className: "badge" }, "Example (drawn)") : "",
    make("h2", {}, dot(diagnosis), `${diagnosis.name} `,
      make("span", { className: "value" }, percent(found.probabilities[found.label]))),
    make("ul", { className: "chips" },
      ...chips(found).map(([text, kind]) => make("li", { className: `chip ${kind}` }, text))),
    make("p", {}, rightLine(found)));
}

/** The summed probability of some diagnoses. @param {Result} found @param {(one: any) => boolean} includes */
function sumOf(found, includes) {
  return page.diagnoses.reduce(
    (sum, one, label) => sum + (includes(one) ? found.probabilities[label] : 0), 0,
  );
}

/** Whether a result reaches a threshold, if the model has it. @param {Result} found @param {string} name */
function reaches(found, name) {
  const point = found.entry.points[name];
  return point && sumOf(found, (one) => point.codes.includes(one.code)) >= point.threshold;
}

/** @param {Result} found @returns {string[][]} the text and kind of each chip */
function chips(found) {
  const sum = percent(sumOf(found, (one) => one.malignant));
  const all = [[`Malignant, all three: ${sum}`, reaches(found, "malignant") ? "loud" : "calm"]];
  const flagged = reaches(found, "melanoma");
  if (flagged !== undefined) {
    all.unshift(flagged ? ["Melanoma flag raised", "loud"] : ["No melanoma flag", "calm"]);
  }
  if (found.gate === "unsure") all.push(["Low confidence: often wrong", "warning"]);
  return all;
}

/** @param {Result} found */
function rightLine(found) {
  if (found.shareRight == null) return "";
  return `Results like this were right ${(100 * found.shareRight).toFixed(0)}% of the time in our test.`;
}

/** The probabilities, highest first; each bar is a button for its heatmap. @param {Result} found */
function bars(found) {
  const order = [...found.probabilities.keys()].sort(
    (one, other) => found.probabilities[other] - found.probabilities[one] || one - other,
  );
  const rows = order.map((label) => {
    const diagnosis = page.diagnoses[label];
    const probability = found.probabilities[label];
    const fill = make("span", { className: "fill" });
    fill.style.width = `${100 * probability}%`;
    const kind = diagnosis.malignant ? "malignant" : "benign";
    const name = SHORT[/** @type {keyof typeof SHORT} */ (diagnosis.code)] ?? diagnosis.name;
    const button = make("button",
      { type: "button", dataset: { dx: diagnosis.code, probability }, onclick: () => explain(label) },
      make("span", { className: "name" }, dot(diagnosis), name),
      make("span", { className: "track" }, fill),
      make("span", { className: "value" }, percent(probability)));
    button.setAttribute("aria-label", `${diagnosis.name}, ${kind}, ${percent(probability)}: show its heatmap`);
    return make("li", { className: probability < MIN_PROBABILITY ? `${kind} faint` : kind }, button);
  });
  return [make("ul", {}, ...rows), make("p", { className: "key" }, dot({ malignant: true }), "malignant")];
}

/** Show the heatmap of a class. @param {number} label */
function explain(label) {
  if (!result || !shown) return;
  target = label;
  const { code, name } = page.diagnoses[label];
  press("#bars button", code);
  const heatmap = result.heatmap(label);
  const improbable = result.probabilities[label] < MIN_PROBABILITY;
  const view = find("#view input:checked").value;
  const stage = find("#stage");
  const options = { view, opacity: improbable ? FAINT : FULL, colours };
  paint(stage, shown.picture, heatmap.flat ? null : heatmap, options);
  stage.setAttribute("aria-label", `Heatmap for ${name}, ${percent(result.probabilities[label])}`);
  find("#save").disabled = heatmap.flat;
  let caption = `Regions that raised the score for ${name}.`;
  if (improbable) caption = "The model gives this class < 1%, so this map means little.";
  if (shown.picture.width !== shown.picture.height) caption += " Grey parts were not seen by the model.";
  if (heatmap.flat) caption = `No heatmap: nothing in the image raised the score for ${name}.`;
  find("#caption").textContent = caption;
}

/** How reliable such results are. @param {Result} found */
function trust(found) {
  const { entry, label } = found;
  const { name, sentence } = page.diagnoses[label];
  const points = [`${name}. ${sentence}`];
  points.push(rightLine(found) || "How often such results are right was not measured for this model.");
  const whole = (/** @type {number} */ share) => `${(100 * share).toFixed(0)}%`;
  for (const [key, flag, positives, negatives] of [
    ["melanoma", "melanoma flag", "melanomas", "other lesions"],
    ["malignant", "malignant total", "malignant lesions", "benign lesions"],
  ]) {
    const point = entry.points[key];
    if (point) {
      points.push(`The ${flag} is raised for ${whole(point.sensitivity)} of ${positives} and for ` +
        `${whole(1 - point.specificity)} of ${negatives} (${point.split}).`);
    }
  }
  const { images, median, worst, same_top: same } = entry.difference;
  points.push(
    `The model's weights are rounded here, for a smaller download. On ${images} drawn images, ` +
    `probabilities differ from the original model's by a median of ${median.toFixed(3)} and at most ` +
    `${worst.toFixed(3)}; the diagnosis is the same in ${whole(same)}.`,
    "Malignant includes pre-cancer: actinic keratosis and Bowen's disease.",
    "Every image gets one of seven diagnoses, even a rash or healthy skin. A low probability of " +
    "melanoma does not rule it out.",
    "Bright regions raised a score. They don't show whether the class is right.",
  );
  return points;
}

/** Save the current view of the heatmap, named after its class. */
function save() {
  const name = `lesion_gradcam_${page.diagnoses[target].code}.png`;
  find("#stage").toBlob((blob) => {
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

/** @param {string} code */
async function takeExample(code) {
  const mine = ++turn;
  await attempt(async () => {
    const answer = await fetch(`examples/${code}.webp`);
    if (!answer.ok) throw new UserError("The example could not be loaded. Check the connection.");
    const file = await answer.blob();
    if (mine === turn) await openFile(file, code);
  });
}

/**
 * Register the service worker, which caches the page for offline use and adds the headers that
 * threads need. If the server does not send them, the page is reloaded once.
 */
async function isolate() {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register("sw.js");
    if (crossOriginIsolated || window.top !== window || sessionStorage.getItem("isolated")) return;
    await navigator.serviceWorker.ready;
    sessionStorage.setItem("isolated", "once");
    location.reload();
    await new Promise(() => {});
  } catch {
    // It may be forbidden in a private window: one thread then, and no offline use.
  }
}

function connect() {
  find("#file").addEventListener("change", (event) => {
    if (event.target.files.length) openFile(event.target.files[0]);
    event.target.value = "";
  });
  find(".tiles").addEventListener("click", (event) => {
    const tile = event.target.closest("button");
    if (tile) takeExample(tile.dataset.dx);
  });
  find("#model select").addEventListener("change", () => attempt(() => run(++turn)));
  find("#view").addEventListener("change", () => explain(target));
  find("#save").addEventListener("click", save);
  document.addEventListener("dragover", (event) => event.preventDefault());
  for (const [kind, from] of [["drop", "dataTransfer"], ["paste", "clipboardData"]]) {
    document.addEventListener(kind, (/** @type {any} */ event) => {
      if (!event[from]?.files.length) return;
      event.preventDefault();
      openFile(event[from].files[0]);
    });
  }
}

async function start() {
  await isolate();
  page = await (await fetch("page.json")).json();
  colours = Uint8Array.from(page.colours.match(/../g), (pair) => parseInt(pair, 16));
  const ramp = page.colours.match(/.{6}/g).map((colour) => `#${colour}`);
  find("#ramp").style.background = `linear-gradient(90deg, ${ramp.join()})`;
  for (const { name, title, balanced_accuracy: accuracy, split } of page.models) {
    const measured = accuracy ? ` · balanced accuracy ${accuracy.toFixed(2)}` : "";
    const note = split === "validation" ? ` (${split})` : "";
    find("#model select").append(make("option", { value: name }, title + measured + note));
  }
  connect();
  await takeExample(FIRST);
  // The service worker caches every model for offline use.
  if (navigator.serviceWorker?.controller) page.models.forEach((one) => fetch(one.file));
}

start().catch(showError);
