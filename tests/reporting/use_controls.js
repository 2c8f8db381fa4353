// Uses every control of a report and writes what came of it into the page. Put behind the page's own script.
"use strict";

const errors = [];
window.addEventListener("error", (event) => errors.push(event.message));
window.addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));

const get = (id) => document.getElementById(id);
const picture = (id) => get(id).toDataURL();

function mouse(id, type, x, y, buttons = 0) {
  const canvas = get(id);
  const box = canvas.getBoundingClientRect();
  canvas.dispatchEvent(new PointerEvent(type, {
    clientX: box.left + canvas.clientLeft + x, clientY: box.top + canvas.clientTop + y, buttons, bubbles: true,
  }));
}

function wheel(id, x, y, deltaY) {
  const canvas = get(id);
  const box = canvas.getBoundingClientRect();
  canvas.dispatchEvent(new WheelEvent("wheel", { clientX: box.left + x, clientY: box.top + y, deltaY, cancelable: true }));
}

function choose(id, value) {
  get(id).value = value;
  get(id).dispatchEvent(new Event("change"));
}

function tick(id) {
  get(id).click();
}

// Whether a control changes a picture, and a second use (or another control) takes it back.
function changes(canvas, act, undo) {
  const before = picture(canvas);
  act();
  const during = picture(canvas);
  undo();
  return { changed: during !== before, back: picture(canvas) === before };
}

function click(id, x, y) {
  mouse(id, "pointerdown", x, y, 1);
  mouse(id, "pointerup", x, y);
}

function use(pixels) {
  const found = {};
  const data = JSON.parse(get("data").textContent);
  const side = get("map").clientWidth / data.columns;
  found.pixels = pixels.map(([row, column]) => {
    const [x, y] = [(column + 0.5) * side, (row + 0.5) * side];
    mouse("map", "pointermove", x, y);
    const hovered = get("map-status").textContent;
    click("map", x, y);
    const selected = [...get("legend").children].findIndex((item) => item.classList.contains("selected"));
    return { hovered, selected, title: get("peaks-title").textContent, peaks: get("peaks").tBodies[0].rows.length };
  });
  const buttons = [...get("legend").querySelectorAll("button")];
  const boxes = [...get("legend").querySelectorAll("input")];
  found.legend = buttons.map((button) => { button.click(); return get("peaks-title").textContent; });
  buttons[0].click();
  found.names = buttons.map((button) => button.textContent);
  const [other] = boxes.filter((box) => !box.checked);
  if (other) found.box = changes("spectra", () => other.click(), () => other.click());
  const views = [...get("map-view").options].map((option) => option.value).filter((value) => value !== "clusters");
  for (const view of views) {
    found[`view ${view}`] = changes("map", () => choose("map-view", view), () => choose("map-view", "clusters"));
  }
  found["map zoom"] = changes("map", () => wheel("map", 50, 40, -1), () => get("map-reset").click());
  mouse("map", "pointerleave", 0, 0);
  wheel("map", 50, 40, -1);
  wheel("map", 50, 40, -1);
  found["map drag"] = changes("map", () => {
    mouse("map", "pointerdown", 60, 50, 1);
    mouse("map", "pointermove", 30, 30, 1);
    mouse("map", "pointerup", 30, 30);
    mouse("map", "pointerleave", 0, 0);
  }, () => {});
  get("map-reset").click();
  for (const kind of ["input", "reconstructed", "centre"]) {
    found[`kind ${kind}`] = changes("spectra", () => choose("spectrum-kind", kind), () => choose("spectrum-kind", "raw"));
  }
  for (const scale of ["linear", "log"]) {
    found[`scale ${scale}`] = changes("spectra", () => choose("spectrum-scale", scale), () => choose("spectrum-scale", "sqrt"));
  }
  for (const box of ["spectrum-peaks", "spectrum-normal"]) {
    found[box] = changes("spectra", () => tick(box), () => tick(box));
  }
  const drag = () => {
    mouse("spectra", "pointerdown", 150, 200, 1);
    mouse("spectra", "pointermove", 260, 200, 1);
    mouse("spectra", "pointerup", 260, 200);
  };
  found["spectrum zoom"] = changes("spectra", drag, () => get("spectrum-reset").click());
  found["spectrum wheel"] = changes("spectra", () => wheel("spectra", 200, 200, -1), () => get("spectra").dispatchEvent(new Event("dblclick")));
  mouse("spectra", "pointermove", 200, 200);
  found["spectrum status"] = get("spectrum-status").textContent;
  const rows = get("peaks").tBodies[0].rows;
  found.table = [...rows].map((row) => [...row.cells].map((cell) => cell.textContent));
  const before = picture("spectra");
  if (rows.length) rows[0].click();
  found["chosen peak"] = rows.length ? rows[0].classList.contains("chosen") && picture("spectra") !== before : null;
  const resetView = () => get("latent-reset").click();
  if (!get("latent-space").hidden) {
    found["latent drag"] = changes("latents", () => {
      mouse("latents", "pointerdown", 100, 100, 1);
      mouse("latents", "pointermove", 160, 130, 1);
      mouse("latents", "pointerup", 160, 130);
    }, resetView);
    found["latent wheel"] = changes("latents", () => wheel("latents", 100, 100, -1), resetView);
    found["latent keys"] = changes("latents", () => {
      for (const key of ["ArrowLeft", "ArrowUp", "ArrowLeft", "ArrowDown"]) get("latents").dispatchEvent(new KeyboardEvent("keydown", { key }));
    }, resetView);
    found["latent turn"] = changes("latents", () => tick("latent-spin"), () => { tick("latent-spin"); resetView(); });
    for (const axis of ["x", "y", "z"]) {
      const select = get(`latent-${axis}`);
      const [value] = [...select.options].map((option) => option.value).filter((v) => v !== select.value);
      const first = select.value;
      found[`latent ${axis}`] = changes("latents", () => choose(select.id, value), () => choose(select.id, first));
    }
  }
  if (!get("cut").hidden) useCut(found, side);
  else found.cuts = [];
  return found;
}

// The slider, the table of borders and the views of shares.
function useCut(found, side) {
  const data = window.deepspecReport;
  const slider = get("cut-k");
  const move = (k) => { slider.value = String(k); slider.dispatchEvent(new Event("input")); };
  const back = () => get("cut-reset").click();
  found.scale = [...get("cut-scale").children].map((item) => (item.className === "here" ? `[${item.textContent}]` : item.textContent));
  const pick = ({ values }, n) => Array.from({ length: values.length / n }, (_, row) => values.subarray(row * n, (row + 1) * n))
    .flatMap((row) => [...row].filter((_, i) => i % 100 === 0));
  found.cuts = [];
  for (let k = Number(slider.min); k <= Number(slider.max); k++) {
    move(k);
    found.cuts.push({
      k: Number(get("cut-shown").textContent), status: get("cut-status").textContent,
      names: [...get("legend").querySelectorAll("button")].map((button) => button.textContent),
      labels: [...data.labels], sizes: data.sizes, borders: data.borders, centres: [...data.centres],
      spectra: Object.fromEntries(Object.entries(data.spectra).map(([kind, own]) => [kind, pick(own, data.axes[own.axis].values.length)])),
      rows: [...get("borders").tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent).join("|")),
      probabilities: data.names.map((_, cluster) => [...probabilityOf(data, cluster)]),
      highest: [...highestProbability(data)],
    });
  }
  back();
  for (const canvas of ["map", "spectra", "latents"]) found[`cut ${canvas}`] = changes(canvas, () => move(1), back);
  const first = get("legend").querySelector("button");
  first.click();
  found["border spectra"] = changes("spectra", () => get("borders").tBodies[0].rows[0].click(), () => {
    for (const box of get("legend").querySelectorAll("input:checked")) if (box !== get("legend").querySelector("input")) box.click();
    first.click();
  });
  found.hovered = {};
  for (const view of ["highest", "disagreement"]) {
    choose("map-view", view);
    mouse("map", "pointermove", 4.5 * side, 3.5 * side);
    found.hovered[view] = get("map-status").textContent;
  }
  choose("map-view", "clusters");
  mouse("map", "pointerleave", 0, 0);
}

function report(found) {
  const outcome = document.createElement("script");
  outcome.type = "application/json";
  outcome.id = "outcome";
  outcome.textContent = JSON.stringify({ ...found, errors }).replace(/</g, "\\u003c");
  document.body.append(outcome);
}

const wait = setInterval(() => {
  if (!document.body.dataset.ready) return;
  clearInterval(wait);
  try { report(use(PIXELS)); } catch (error) { errors.push(error.stack); report({}); }
}, 50);
setTimeout(() => { if (!get("outcome")) report({ late: true }); }, 8000);
