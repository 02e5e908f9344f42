// The page: sends files, shows what came back. The threshold moves here; no network is asked again for it.
import { words } from "./words.js";

const $ = (id) => document.getElementById(id);
const OUTLINE = "#ff4d3d";
const state = { language: "en", key: sessionStorage.getItem("key") ?? "", answer: null, study: 0, slice: 0, threshold: 0.5, asked: 0, problem: null, files: [], why: false };

function say(word, values = {}) {
  return words[state.language][word].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// Beyond what calibration can tell, no digits are shown.
function percent(p) {
  if (p == null) return "–";
  const digits = new Intl.NumberFormat(state.language, { style: "percent", maximumFractionDigits: 1 });
  if (p > 0.99) return `>${digits.format(0.99)}`;
  if (p < 0.01) return `<${digits.format(0.01)}`;
  return digits.format(p);
}

function number(value, digits = 0) {
  return new Intl.NumberFormat(state.language, { maximumFractionDigits: digits }).format(value);
}

// Whether single pictures were sent, which are then listed together.
const isBatch = () => state.answer.studies.every((study) => study.slices === 1);
// The slices on show, in order: those of a study, or all single pictures.
const slices = () => state.answer.results.filter((result) => isBatch() || result.study === state.study);
const current = () => slices()[state.slice];
const isUnlike = (result) => result.input_gate?.unlike === true;
const isAbove = (result) => result.classifier != null && !isUnlike(result) && result.classifier.finding >= state.threshold;
// As the cascade: a mask is shown where the classifier does not exclude a finding, or is not asked.
const showsMask = (result) => result.segmenter != null && !isUnlike(result) && (result.classifier == null || isAbove(result));

function area(result) {
  if (result.segmenter == null || result.segmenter.mask_pixels === 0) return say("nothing");
  if (!showsMask(result)) return say("hidden");
  const { area_mm2, mask_pixels } = result.segmenter;
  return area_mm2 == null ? say("pixels", { pixels: number(mask_pixels) }) : say("square", { area: number(area_mm2, 1) });
}

function status(text, isProblem = false) {
  $("status").textContent = text;
  $("status").classList.toggle("problem", isProblem);
}

function picture(attachments, result) {
  return attachments?.find((a) => a.study === result.study && a.slice === result.slice);
}

async function bitmap(attachment) {
  const bytes = Uint8Array.from(atob(attachment.base64), (c) => c.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: attachment.media_type }));
}

// The borders of a mask as a path, one line for each side of a pixel that has no neighbour within.
function contour(mask, scale) {
  const pad = new OffscreenCanvas(mask.width, mask.height).getContext("2d");
  pad.drawImage(mask, 0, 0);
  const { data, width, height } = pad.getImageData(0, 0, mask.width, mask.height);
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && data[4 * (y * width + x)] > 127;
  const path = new Path2D();
  const line = (x, y, u, v) => { path.moveTo(x * scale, y * scale); path.lineTo(u * scale, v * scale); };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!inside(x, y)) continue;
      if (!inside(x, y - 1)) line(x, y, x + 1, y);
      if (!inside(x, y + 1)) line(x, y + 1, x + 1, y + 1);
      if (!inside(x - 1, y)) line(x, y, x, y + 1);
      if (!inside(x + 1, y)) line(x + 1, y, x + 1, y + 1);
    }
  }
  return path;
}

async function drawScan(result) {
  const turn = ++state.asked;
  const scan = picture(state.answer.pictures, result);
  if (!scan) return;
  const mask = $("outline").checked && showsMask(result) ? picture(state.answer.masks, result) : null;
  const heat = state.why ? picture(state.answer.explanations, result) : null;
  const [image, outline, warmth] = await Promise.all([bitmap(scan), mask && bitmap(mask), heat && bitmap(heat)]);
  // Another slice was chosen meanwhile.
  if (turn !== state.asked) return;
  const scale = Math.max(1, Math.round(768 / Math.max(image.width, image.height)));
  const canvas = $("scan");
  [canvas.width, canvas.height] = [image.width * scale, image.height * scale];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  if (warmth) {
    context.globalAlpha = 0.7;
    context.drawImage(warmth, 0, 0, canvas.width, canvas.height);
    context.globalAlpha = 1;
  }
  if (outline) {
    context.lineCap = "square";
    const path = contour(outline, scale);
    // A dark rim keeps the line visible on bright tissue.
    for (const [colour, width] of [["#000000b0", 5], [OUTLINE, 2.5]]) {
      [context.strokeStyle, context.lineWidth] = [colour, width];
      context.stroke(path);
    }
  }
}

function definition(list, entries) {
  list.replaceChildren(...entries.filter(([, value]) => value != null).flatMap(([name, value]) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    [dt.textContent, dd.textContent] = [name, value];
    return [dt, dd];
  }));
}

function showSlice() {
  const [all, result] = [slices(), current()];
  const place = say("slice_of", { slice: number(state.slice + 1), count: number(all.length) });
  $("slice").value = state.slice + 1;
  $("slice").setAttribute("aria-valuetext", place);
  $("place").textContent = all.length > 1 ? `${place} · ${result.file}` : result.file;
  const verdict = isUnlike(result) ? "verdict_unlike" : result.classifier == null ? "verdict_none" : isAbove(result) ? "verdict_above" : "verdict_below";
  $("verdict").textContent = say(verdict);
  const probability = isUnlike(result) ? null : result.classifier?.finding;
  definition($("figures"), [
    [say("probability"), percent(probability)],
    [say("area"), area(result)],
    [say("model"), result.classifier && `${result.classifier.model} · ${result.classifier.sha256.slice(0, 12)}`],
    [say("segmenter"), result.segmenter && `${result.segmenter.model} · ${result.segmenter.sha256.slice(0, 12)}`],
    [say("file"), result.file],
  ]);
  const told = [...(result.input_gate?.reasons ?? []), ...result.warnings, ...state.answer.errors.map((e) => say("more", e))];
  $("warnings").replaceChildren(...told.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  $("scan").setAttribute("aria-label", say("picture", { place, probability: percent(probability), area: area(result) }));
  for (const row of $("rows").rows) row.setAttribute("aria-current", String(row.rowIndex - 1 === state.slice));
  showWhy(result);
  drawScan(result);
}

// What the heat over the scan means, or why there is none.
function showWhy(result) {
  $("why").hidden = result.classifier == null;
  $("why").setAttribute("aria-pressed", String(state.why));
  $("why-legend").hidden = !state.why;
  const explained = state.answer.explained?.find((other) => other.study === result.study && other.slice === result.slice);
  const word = explained?.explanation == null ? "why_none" : explained.explanation.empty ? "why_nothing" : "why_legend";
  $("why-legend").textContent = say(word, { class: explained?.explanation?.class });
}

// Heat is asked for when it is first wanted.
async function askWhy() {
  state.why = !state.why;
  const answer = state.answer;
  if (state.why && !answer.explanations) {
    status(say("working", { count: number(state.files.length) }));
    const query = new URLSearchParams({ segmenter: "none", explain: "true" });
    const model = answer.results.find((result) => result.classifier != null)?.classifier.model;
    if (model) query.set("classifier", model);
    try {
      const explained = await call(`api/v0/predict?${query}`, { method: "POST", body: formOf(state.files) });
      [answer.explanations, answer.explained] = [explained.explanations, explained.results];
      status("");
    } catch (error) {
      state.why = false;
      status(say("failed", { problem: error.message }), true);
    }
  }
  // Other files were chosen meanwhile.
  if (answer === state.answer) showSlice();
}

function showTable() {
  const all = slices();
  const above = all.filter(isAbove).length;
  const values = { source: isBatch() ? say("pictures") : state.answer.studies[state.study].source, above: number(above), count: number(all.length) };
  $("table-caption").textContent = say("caption", values);
  const rows = all.map((result, index) => {
    const row = document.createElement("tr");
    const choose = Object.assign(document.createElement("button"), { type: "button", textContent: number(index + 1) });
    choose.addEventListener("click", () => { state.slice = index; showSlice(); });
    const probability = isUnlike(result) ? "–" : percent(result.classifier?.finding);
    const cells = [choose, probability, result.classifier == null ? "–" : say(isAbove(result) ? "yes" : "no"), area(result)];
    row.append(...cells.map((content) => {
      const cell = document.createElement("td");
      cell.append(content);
      return cell;
    }));
    return row;
  });
  $("rows").replaceChildren(...rows);
  const highest = all.reduce((best, result, index) => (result.classifier?.finding ?? -1) > (all[best].classifier?.finding ?? -1) ? index : best, 0);
  const outlined = all.filter((result) => showsMask(result) && result.segmenter.mask_pixels > 0).length;
  $("headline").textContent = all[highest].classifier
    ? say("headline", { ...values, highest: percent(all[highest].classifier.finding), slice: number(highest + 1) })
    : say("headline_outlined", { outlined: number(outlined), count: number(all.length) });
  return highest;
}

// Shows the answer; a new one opens at its highest slice.
function show(isNew) {
  if (!state.answer) return;
  const all = slices();
  $("result").hidden = false;
  $("slice").max = all.length;
  $("slice-choice").hidden = all.length < 2;
  $("study-choice").hidden = state.answer.studies.length < 2 || isBatch();
  const options = state.answer.studies.map((study, index) => new Option(study.source, index, false, index === state.study));
  $("study").replaceChildren(...options);
  $("threshold").value = Math.round(state.threshold * 100);
  $("threshold").disabled = all[0].classifier == null;
  $("threshold-value").textContent = percent(state.threshold);
  $("threshold").setAttribute("aria-valuetext", percent(state.threshold));
  $("reset").textContent = say("reset", { threshold: percent(all[0].classifier?.threshold) });
  $("reset").hidden = all[0].classifier == null;
  const highest = showTable();
  if (isNew) state.slice = highest;
  showSlice();
}

async function call(path, options = {}) {
  const headers = state.key ? { "X-API-Key": state.key } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error(say("unreachable"));
  }
  const answer = await response.json();
  if (response.status === 401) {
    $("key-form").hidden = false;
    throw new Error(say("key_needed"));
  }
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function formOf(files) {
  const form = new FormData();
  for (const file of files) form.append("file", file, file.name);
  return form;
}

async function send(files) {
  if (!files.length) return;
  status(say("working", { count: number(files.length) }));
  $("drop").setAttribute("aria-busy", "true");
  const query = new URLSearchParams({ always_segment: "true", mask: "png", picture: "png" });
  if ($("classifier").value) query.set("classifier", $("classifier").value);
  try {
    state.answer = await call(`api/v0/predict?${query}`, { method: "POST", body: formOf(files) });
    [state.files, state.why] = [[...files], false];
    state.study = 0;
    state.threshold = state.answer.results[0].classifier?.threshold ?? 0.5;
    show(true);
    status(say("done", { slices: number(state.answer.results.length) }));
    $("headline").focus();
  } catch (error) {
    status(say("failed", { problem: error.message }), true);
  } finally {
    $("drop").removeAttribute("aria-busy");
    $("files").value = "";
  }
}

async function listModels() {
  try {
    const { models, default: pair } = await call("api/v0/models");
    const options = models.filter((model) => model.task === "binary").map((model) => new Option(model.name, model.id, false, model.id === pair.classifier));
    $("classifier").replaceChildren(...options, new Option(say("no_classifier"), "none"));
    if ($("status").classList.contains("problem")) status("");
  } catch (error) {
    status(error.message, true);
  }
}

function speak(language) {
  state.language = words[language] ? language : "en";
  localStorage.setItem("language", state.language);
  document.documentElement.lang = state.language;
  $("language").value = state.language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  const none = $("classifier").querySelector('option[value="none"]');
  if (none) none.textContent = say("no_classifier");
  show(false);
}

function colour(theme) {
  localStorage.setItem("theme", theme);
  $("theme").value = theme;
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

$("language").addEventListener("change", (event) => speak(event.target.value));
$("theme").addEventListener("change", (event) => colour(event.target.value));
$("files").addEventListener("change", (event) => send([...event.target.files]));
$("slice").addEventListener("input", (event) => { state.slice = event.target.value - 1; showSlice(); });
$("outline").addEventListener("change", showSlice);
$("why").addEventListener("click", askWhy);
$("study").addEventListener("change", (event) => { state.study = Number(event.target.value); show(true); });
$("threshold").addEventListener("input", (event) => { state.threshold = event.target.value / 100; show(false); });
$("reset").addEventListener("click", () => { state.threshold = current().classifier.threshold; show(false); });
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.key = $("key").value.trim();
  sessionStorage.setItem("key", state.key);
  $("key-form").hidden = true;
  listModels();
});
for (const kind of ["dragover", "dragenter"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  send([...event.dataTransfer.files]);
});

speak(new URLSearchParams(location.search).get("lang") ?? localStorage.getItem("language") ?? navigator.language.slice(0, 2));
colour(localStorage.getItem("theme") ?? "auto");
listModels();
