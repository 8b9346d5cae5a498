// @ts-check
/** The page: an image in; verdict, probabilities and heatmap out. */
import { copyPicture, paint } from "./heatmap.js";
import { Trouble, readImage } from "./image.js";
import { classify, reaches, sumOf } from "./model.js";

/** @typedef {import("./model.js").Result} Result */

const FIRST = "mel";
const LITTLE = 0.01; // a class below this probability has a map that shows little
const [FAINT, FULL] = [0.4, 0.75]; // opacity where the map is 1: of such a class, and of any other
const LEAST = 0.01;
const SHORT = { akiec: "Actinic keratosis / Bowen", nv: "Nevus (mole)" };

/** @type {any} */
let page;
/** @type {{picture: HTMLCanvasElement, example: boolean} | null} */
let shown = null;
/** @type {Result | null} */
let result = null;
let target = 0;
let colours = new Uint8Array();
let turn = 0; // the last choice wins, however fast they come
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

/** A probability as whole per cent that never claims 0% or 100%. @param {number} probability */
function percent(probability) {
  if (probability < LEAST) return "< 1%";
  return probability > 1 - LEAST ? "> 99%" : `${(100 * probability).toFixed(0)}%`;
}

/** @param {any} diagnosis @returns {Node | string} */
function dot(diagnosis) {
  return diagnosis.malignant ? make("span", { className: "dot", title: "malignant" }) : "";
}

const codes = () => page.diagnoses.map((/** @type {any} */ one) => one.code);
const chosen = () => page.models.find((/** @type {any} */ one) => one.name === find("#model select").value);

/** Read a file, classify it and show what was found. @param {Blob} file @param {string} example */
async function take(file, example = "") {
  const mine = ++turn;
  await attempt(async () => {
    for (const tile of document.querySelectorAll(".tiles button")) {
      tile.setAttribute("aria-pressed", String(/** @type {any} */ (tile).dataset.dx === example));
    }
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

/** Classify the image that is shown by the chosen model. @param {number} mine */
async function run(mine) {
  if (!bitmap) return;
  document.body.classList.add("busy");
  const found = await classify(chosen(), bitmap);
  if (mine !== turn) return;
  result = found;
  target = found.label;
  show(false);
}

/** Do something, and say in words what goes wrong. @param {() => Promise<any>} act */
async function attempt(act) {
  const mine = turn;
  try {
    await act();
  } catch (error) {
    if (mine === turn) complain(error);
  } finally {
    if (mine === turn) document.body.classList.remove("busy");
  }
}

/** @param {any} error */
function complain(error) {
  const said = String(error?.message ?? error);
  let [title, text] = ["Image not usable", said];
  if (!(error instanceof Trouble)) {
    title = "That did not work";
    text = error instanceof RangeError || /memory|alloc|OOM/i.test(said)
      ? "There is not enough memory. Close other tabs, or choose a smaller image or model."
      : `The model could not be run here (${said.slice(0, 200)}). Reload the page, or choose another model.`;
  } else if (!/image|pixel|empty|larger/i.test(said)) {
    title = "That did not work";
  }
  result = null;
  find("#details").hidden = true;
  find("#image").hidden = true;
  find("#verdict").replaceChildren(
    make("section", { className: "panel problem", role: "alert" },
      make("h2", {}, title), make("p", {}, text)),
  );
}

/** @param {boolean} anyway whether to show what the gate hides */
function show(anyway) {
  if (!result) return;
  const hidden = !anyway && ["blank", "strange"].includes(result.gate);
  find("#drawn").hidden = !result.entry.drawn_only;
  find("#verdict").replaceChildren(hidden ? refusal(result) : verdict(result));
  find("#details").hidden = hidden;
  if (hidden) return;
  find("#bars").replaceChildren(...bars(result));
  find("#trust ul").replaceChildren(...trust(result).map((text) => make("li", {}, text)));
  explain(target);
}

/** @param {Result} found */
function refusal(found) {
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
    shown?.example ? make("span", { className: "badge" }, "Example") : "",
    make("h2", {}, dot(diagnosis), `${diagnosis.name} `,
      make("span", { className: "value" }, percent(found.probabilities[found.label]))),
    make("ul", { className: "chips" },
      ...chips(found).map(([text, kind]) => make("li", { className: `chip ${kind}` }, text))),
    make("p", {}, rightLine(found)));
}

/** @param {Result} found @returns {string[][]} */
function chips(found) {
  const malignant = page.diagnoses.filter((/** @type {any} */ one) => one.malignant);
  const sum = sumOf(found, malignant.map((/** @type {any} */ one) => one.code), codes());
  const all = [[
    `Malignant, all three: ${percent(sum)}`, reaches(found, "malignant", codes()) ? "loud" : "calm",
  ]];
  const flagged = reaches(found, "melanoma", codes());
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

/** @param {Result} found the most probable first; each bar is a button for its heatmap */
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
    return make("li", { className: probability < LITTLE ? `${kind} faint` : kind }, button);
  });
  const malignant = page.diagnoses.find((/** @type {any} */ one) => one.malignant);
  return [make("ul", {}, ...rows), make("p", { className: "key" }, dot(malignant), "malignant")];
}

/** Show the heatmap of a class. @param {number} label */
function explain(label) {
  if (!result || !shown) return;
  target = label;
  const { code, name } = page.diagnoses[label];
  for (const button of document.querySelectorAll("#bars button")) {
    button.setAttribute("aria-pressed", String(/** @type {any} */ (button).dataset.dx === code));
  }
  const heatmap = result.heatmap(label);
  const little = result.probabilities[label] < LITTLE;
  const view = find("#view input:checked").value;
  const stage = find("#stage");
  const options = { view, opacity: little ? FAINT : FULL, colours };
  paint(stage, shown.picture, heatmap.flat ? null : heatmap, options);
  stage.setAttribute("aria-label", `Heatmap for ${name}, ${percent(result.probabilities[label])}`);
  find("#save").disabled = heatmap.flat;
  const seen = shown.picture.width === shown.picture.height ? "" : " Grey parts were not seen by the model.";
  find("#caption").textContent = heatmap.flat
    ? `No heatmap: nothing in the image raised the score for ${name}.`
    : (little ? "The model gives this class < 1%: this map shows little." : `Regions that raised the score for ${name}.`) + seen;
}

/** @param {Result} found what was measured of such results */
function trust(found) {
  const { entry, label } = found;
  const { name, sentence } = page.diagnoses[label];
  const points = [`${name}. ${sentence}`];
  points.push(rightLine(found) || "How often such results are right was not measured for this model.");
  const whole = (/** @type {number} */ share) => `${(100 * share).toFixed(0)}%`;
  for (const [key, what, caught, others] of [
    ["melanoma", "melanoma flag", "melanomas", "other lesions"],
    ["malignant", "malignant total", "malignant lesions", "benign lesions"],
  ]) {
    const point = entry.points[key];
    if (point) {
      points.push(`The ${what} is raised for ${whole(point.sensitivity)} of ${caught} and for ` +
        `${whole(1 - point.specificity)} of ${others} (${point.split}).`);
    }
  }
  const { images, median, worst, same_top: same } = entry.difference;
  points.push(
    `To be small enough to load, the model's weights are rounded here. On ${images} drawn images, ` +
    `probabilities differ from the original's by ${median.toFixed(3)} in the median and at most ` +
    `${worst.toFixed(3)}; the diagnosis is the same on ${whole(same)}.`,
    "Malignant includes pre-cancer: actinic keratosis and Bowen's disease.",
    "Every image gets one of seven diagnoses, also a rash or healthy skin. A low probability of " +
    "melanoma does not rule it out.",
    "Bright regions raised a score. They don't show whether the class is right.",
  );
  return points;
}

/** Save what the stage shows, named after its class. */
function save() {
  const name = `lesion_gradcam_${page.diagnoses[target].code}.png`;
  find("#stage").toBlob((/** @type {Blob} */ blob) => {
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
    if (!answer.ok) throw new Trouble("The example could not be loaded. Check the connection.");
    const file = await answer.blob();
    if (mine === turn) await take(file, code);
  });
}

/**
 * Have the service worker keep the page for use without a network, and add the headers that threads
 * need where the server sends none: the page is then loaded once more, before anything large is.
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
    // A private window may refuse it: one thread, and no use offline.
  }
}

function connect() {
  find("#file").addEventListener("change", (/** @type {any} */ event) => {
    if (event.target.files.length) take(event.target.files[0]);
    event.target.value = "";
  });
  find(".tiles").addEventListener("click", (/** @type {any} */ event) => {
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
      take(event[from].files[0]);
    });
  }
}

async function start() {
  await isolate();
  page = await (await fetch("page.json")).json();
  colours = Uint8Array.from(page.colours.match(/../g), (pair) => parseInt(pair, 16));
  const ramp = find("#ramp").getContext("2d");
  const strip = ramp.createImageData(256, 1);
  for (let at = 0; at < 256; at++) strip.data.set([...colours.slice(3 * at, 3 * at + 3), 255], 4 * at);
  ramp.putImageData(strip, 0, 0);
  find("#model select").append(...page.models.map((/** @type {any} */ one) => make("option",
    { value: one.name },
    one.title + (one.balanced_accuracy ? ` · balanced accuracy ${one.balanced_accuracy.toFixed(2)}` : ""))));
  connect();
  await takeExample(FIRST);
  // The service worker keeps them: every model then works without a network.
  if (navigator.serviceWorker?.controller) page.models.forEach((/** @type {any} */ one) => fetch(one.file));
}

start().catch(complain);
