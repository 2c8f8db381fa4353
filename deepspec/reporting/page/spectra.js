// Mean spectra of the chosen clusters with the peaks of the selected one; dragging zooms.

const SCALES = {
  linear: (y) => y,
  sqrt: (y) => Math.sign(y) * Math.sqrt(Math.abs(y)),
  log: (y) => Math.log10(y),
};

function niceTicks(low, high, most) {
  const raw = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const ticks = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-9; t += step) ticks.push(Number(t.toPrecision(12)));
  return ticks;
}

function makeSpectra(data, state) {
  const canvas = document.getElementById("spectra");
  const status = document.getElementById("spectrum-status");
  const kind = document.getElementById("spectrum-kind");
  const scale = document.getElementById("spectrum-scale");
  const names = document.getElementById("spectrum-peaks");
  const normal = document.getElementById("spectrum-normal");
  const margin = { left: 58, right: 12, top: 62, bottom: 38 };
  let range = null; // of x, null for all
  let drag = null;
  let chosenPeak = null;
  let plot = null; // how the last drawing placed things

  function curves() {
    return data.names.map((_, cluster) => cluster).filter((cluster) => state.shown[cluster]).map((cluster) => {
      const { x, y } = spectrumOf(data, kind.value, cluster);
      let highest = 0;
      for (const value of y) if (value > highest) highest = value;
      return { cluster, x, y, factor: normal.checked && highest > 0 ? 1 / highest : 1 };
    });
  }

  function limits(drawn, x0, x1) {
    let [low, high, least] = [Infinity, -Infinity, Infinity];
    for (const { x, y, factor } of drawn) {
      for (let i = 0; i < x.length; i++) {
        if (x[i] < x0 || x[i] > x1 || !Number.isFinite(y[i])) continue;
        const value = y[i] * factor;
        low = Math.min(low, value);
        high = Math.max(high, value);
        if (value > 0) least = Math.min(least, value);
      }
    }
    if (!(high > -Infinity)) [low, high] = [0, 1];
    if (scale.value === "log") {
      if (!(least < Infinity)) [least, high] = [0.1, 1];
      return [Math.max(least, high * 1e-6), Math.max(high, least * 1.001)];
    }
    low = Math.min(low, 0);
    return [low, high > low ? high : low + 1];
  }

  function draw() {
    const { context, width, height } = fitCanvas(canvas, 380);
    const drawn = curves();
    const { x: axis, label } = spectrumOf(data, kind.value, 0);
    const ends = [axis[0], axis[axis.length - 1]].sort((a, b) => a - b);
    const [x0, x1] = range || ends;
    const f = SCALES[scale.value];
    const [low, high] = limits(drawn, x0, x1);
    const [f0, f1] = [f(low), f(high)];
    const inner = { width: width - margin.left - margin.right, height: height - margin.top - margin.bottom };
    const px = (x) => margin.left + ((x - x0) / (x1 - x0)) * inner.width;
    const py = (y) => margin.top + (1 - (f(Math.max(y, scale.value === "log" ? low : -Infinity)) - f0) / (f1 - f0)) * inner.height;
    plot = { x0, x1, px, py, inner, ends };

    context.font = "12px system-ui, sans-serif";
    context.fillStyle = "#333";
    context.strokeStyle = "#e4e4e4";
    context.lineWidth = 1;
    context.textAlign = "center";
    for (const tick of niceTicks(x0, x1, Math.max(2, inner.width / 80))) {
      context.beginPath(); context.moveTo(px(tick), margin.top); context.lineTo(px(tick), height - margin.bottom); context.stroke();
      context.fillText(String(tick), px(tick), height - margin.bottom + 15);
    }
    context.fillText(label, margin.left + inner.width / 2, height - 5);
    context.textAlign = "right";
    for (const tick of yTicks(low, high, f0, f1)) {
      context.beginPath(); context.moveTo(margin.left, py(tick)); context.lineTo(width - margin.right, py(tick)); context.stroke();
      context.fillText(short(tick), margin.left - 5, py(tick) + 4);
    }
    context.save();
    context.translate(12, margin.top + inner.height / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.fillText(normal.checked ? "share of the highest" : data.spectra[kind.value].quantity, 0, 0);
    context.restore();

    context.save();
    context.beginPath();
    context.rect(margin.left, margin.top - 1, inner.width, inner.height + 2);
    context.clip();
    for (const { cluster, x, y, factor } of drawn) {
      context.strokeStyle = data.colours[cluster];
      context.lineWidth = cluster === state.selected ? 2 : 1.2;
      context.beginPath();
      let open = false;
      for (let i = 0; i < x.length; i++) {
        if (!Number.isFinite(y[i])) { open = false; continue; }
        const point = [px(x[i]), py(y[i] * factor)];
        if (open) context.lineTo(...point); else context.moveTo(...point);
        open = true;
      }
      context.stroke();
    }
    context.restore();
    if (names.checked) drawNames(context, drawn.find(({ cluster }) => cluster === state.selected));
    if (drag && drag.to !== drag.from) {
      context.fillStyle = "rgba(0, 114, 178, .15)";
      context.fillRect(Math.min(drag.from, drag.to), margin.top, Math.abs(drag.to - drag.from), inner.height);
    }
  }

  function yTicks(low, high, f0, f1) {
    if (scale.value === "linear") return niceTicks(low, high, 6);
    if (scale.value === "sqrt") {
      // 1, 2 and 5 times powers of ten, from the top as far apart as they can be read.
      const kept = [];
      for (let p = Math.ceil(Math.log10(high)); p >= Math.floor(Math.log10(high)) - 3; p--) {
        for (const m of [5, 2, 1]) {
          const tick = m * 10 ** p;
          if (tick <= high && (!kept.length || plot.py(tick) - plot.py(kept[kept.length - 1]) > 24)) kept.push(tick);
        }
      }
      const room = kept.filter((tick) => plot.py(0) - plot.py(tick) > 16);
      return low < 0 ? [low, 0, ...room] : [0, ...room];
    }
    const ticks = [];
    for (let p = Math.ceil(f0); p <= f1; p++) ticks.push(10 ** p);
    return ticks.length > 1 ? ticks : niceTicks(low, high, 5).filter((t) => t > 0);
  }

  // Names over the peaks, the highest first, where there is room.
  function drawNames(context, curve) {
    if (!curve) return;
    const taken = [];
    const { x, y, factor } = curve;
    const peaks = (data.peaks[state.selected] || []).map((peak, number) => ({ ...peak, number }));
    const order = [...peaks].sort((a, b) => (b.number === chosenPeak) - (a.number === chosenPeak) || b.height - a.height);
    context.font = "11px system-ui, sans-serif";
    for (const peak of order) {
      if (peak.position < plot.x0 || peak.position > plot.x1) continue;
      const left = plot.px(peak.position);
      if (taken.some((other) => Math.abs(other - left) < 12)) continue;
      taken.push(left);
      let nearest = 0;
      for (let i = 1; i < x.length; i++) if (Math.abs(x[i] - peak.position) < Math.abs(x[nearest] - peak.position)) nearest = i;
      const top = Math.max(plot.py(y[nearest] * factor), margin.top) - 5;
      context.fillStyle = peak.number === chosenPeak ? "#c00000" : "#222";
      context.save();
      context.translate(left + 4, top);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(peak.text, 0, 0);
      context.restore();
    }
  }

  function value(x) {
    return plot.x0 + ((x - margin.left) / plot.inner.width) * (plot.x1 - plot.x0);
  }

  function describe(x) {
    const position = value(x);
    if (position < plot.x0 || position > plot.x1) return;
    const { x: axis, y, label } = spectrumOf(data, kind.value, state.selected);
    let nearest = 0;
    for (let i = 1; i < axis.length; i++) if (Math.abs(axis[i] - position) < Math.abs(axis[nearest] - position)) nearest = i;
    let text = `${label} ${axis[nearest].toFixed(3)}: ${short(y[nearest])} in cluster ${state.selected}`;
    const near = (data.peaks[state.selected] || []).filter((peak) => Math.abs(plot.px(peak.position) - x) < 8);
    if (near.length) text += ` – ${near[0].text}`;
    status.textContent = text;
  }

  canvas.addEventListener("pointerdown", (event) => {
    const [x] = at(event, canvas);
    drag = { from: x, to: x };
    if (event.pointerId !== undefined && event.isTrusted) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x] = at(event, canvas);
    if (drag) { drag.to = x; draw(); }
    describe(x);
  });
  canvas.addEventListener("pointerup", () => {
    if (drag && Math.abs(drag.to - drag.from) > 6) {
      const [a, b] = [value(drag.from), value(drag.to)].sort((p, q) => p - q);
      range = [Math.max(a, plot.ends[0]), Math.min(b, plot.ends[1])];
    }
    drag = null;
    draw();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const centre = value(at(event, canvas)[0]);
    const factor = event.deltaY < 0 ? 0.8 : 1.25;
    const [a, b] = [centre - (centre - plot.x0) * factor, centre + (plot.x1 - centre) * factor];
    range = [Math.max(a, plot.ends[0]), Math.min(b, plot.ends[1])];
    draw();
  }, { passive: false });
  const reset = () => { range = null; draw(); };
  canvas.addEventListener("dblclick", reset);
  document.getElementById("spectrum-reset").addEventListener("click", reset);
  for (const control of [kind, scale, names, normal]) control.addEventListener("change", draw);
  state.onChange(() => { chosenPeak = null; draw(); });
  window.addEventListener("resize", draw);
  draw();
  return {
    choosePeak(number) {
      chosenPeak = number;
      const peak = data.peaks[state.selected][number];
      const half = (plot.ends[1] - plot.ends[0]) / 16;
      if (peak.position < plot.x0 || peak.position > plot.x1) range = [peak.position - half, peak.position + half];
      state.shown[state.selected] = true;
      draw();
    },
  };
}

// The peaks of the selected cluster with all their candidates; a click finds one in the spectrum.
function makePeaks(data, state, spectra) {
  const table = document.getElementById("peaks");
  const title = document.getElementById("peaks-title");
  const unit = data.axes[data.spectra.raw.axis].unit;

  function cell(row, text, className) {
    const made = row.insertCell();
    made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function update() {
    const peaks = data.peaks[state.selected];
    table.tHead.replaceChildren();
    table.tBodies[0].replaceChildren();
    if (!peaks) {
      title.textContent = `Cluster ${state.selected} of this cut: peaks are named for clusters of the segmentation alone`;
      return;
    }
    title.textContent = peaks.length ? `Peaks of cluster ${state.selected}` : `Cluster ${state.selected}: no peaks stand out`;
    if (!peaks.length) return;
    const head = table.tHead.insertRow();
    for (const [text, className] of [[`position (${unit})`, "number"], ["height", "number"], ["may be, most likely first (score; share that its family allows)", ""]]) {
      const made = document.createElement("th");
      made.textContent = text;
      made.className = className;
      head.append(made);
    }
    peaks.forEach((peak, number) => {
      const row = table.tBodies[0].insertRow();
      cell(row, short(peak.position), "number");
      cell(row, short(peak.height), "number");
      const last = cell(row, peak.candidates.length ? "" : "nothing known");
      peak.candidates.forEach((candidate, i) => {
        const part = document.createElement("span");
        const flag = candidate.kind === "line" ? "" : `, ${candidate.kind} peak`;
        part.textContent = `${i ? "; " : ""}${candidate.label} (${candidate.score.toFixed(2)}; ${candidate.family.toFixed(2)}${flag})`;
        part.className = candidate.kind !== "line" ? "flag" : candidate.score < 0.5 ? "weak" : "";
        last.append(part);
      });
      row.addEventListener("click", () => {
        for (const other of table.tBodies[0].rows) other.classList.toggle("chosen", other === row);
        spectra.choosePeak(number);
      });
    });
  }
  state.onChange(update);
  update();
}
