// The label map: hover names the pixel and its cluster, a click selects it, the wheel zooms, dragging moves.

function makeMap(data, state) {
  const canvas = document.getElementById("map");
  const status = document.getElementById("map-status");
  const view = document.getElementById("map-view");
  const scaleOfShares = document.getElementById("map-scale");
  const { rows, columns } = data;
  const has = { probability: data.memberships, highest: data.memberships, disagreement: data.disagreement };
  for (const option of [...view.options]) if (option.value in has && !has[option.value]) option.remove();
  const image = document.createElement("canvas");
  image.width = columns;
  image.height = rows;
  const whole = () => ({ x: 0, y: 0, zoom: 1 });
  let window_ = whole();
  let hover = null;
  let shares = null; // what the map shows, if these are shares

  function paint() {
    const context = image.getContext("2d");
    const pixels = context.createImageData(columns, rows);
    const colours = data.colours.map((text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16)));
    const grey = data.images[view.value];
    shares = shareView(data, view.value, state.selected);
    const ramp = shares && Array.from({ length: 256 }, (_, i) => rampColour((i / 255 - shares.from) / (1 - shares.from)));
    showScale();
    for (let i = 0; i < rows * columns; i++) {
      const label = data.labels[i];
      let colour = label < 0 ? [217, 217, 217] : colours[label];
      if (ramp) colour = label < 0 ? colour : ramp[shares.values[i]];
      else if (grey) colour = label < 0 ? colour : [grey[i], grey[i], grey[i]];
      else if (view.value === "selected" && label >= 0 && label !== state.selected) colour = [68, 1, 84];
      pixels.data.set(colour, 4 * i);
      pixels.data[4 * i + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    draw();
  }

  function showScale() {
    scaleOfShares.hidden = !shares;
    if (!shares) return;
    const [low, bar, high] = scaleOfShares.children;
    [low.textContent, high.textContent] = [shares.low, shares.high];
    bar.style.background = `linear-gradient(to right, ${RAMP.map((colour) => `rgb(${colour})`).join(",")})`;
  }

  function scale() {
    return (canvas.clientWidth / columns) * window_.zoom;
  }

  function draw() {
    const height = Math.min(Math.max((canvas.clientWidth * rows) / columns, 60), 700);
    const { context } = fitCanvas(canvas, height);
    const s = scale();
    context.imageSmoothingEnabled = false;
    context.drawImage(image, -window_.x * s, -window_.y * s, columns * s, rows * s);
    if (hover && s >= 3) {
      context.strokeStyle = "#000";
      context.lineWidth = 1.5;
      context.strokeRect((hover.column - window_.x) * s, (hover.row - window_.y) * s, s, s);
    }
  }

  function pixelAt(event) {
    const [x, y] = at(event, canvas);
    const column = Math.floor(window_.x + x / scale());
    const row = Math.floor(window_.y + y / scale());
    if (row < 0 || row >= rows || column < 0 || column >= columns) return null;
    return { row, column, label: data.labels[row * columns + column] };
  }

  function describe(pixel) {
    const where = `row ${pixel.row}, column ${pixel.column}: `;
    if (pixel.label < 0) return `${where}no cluster`;
    const value = shares ? `; ${(shares.values[pixel.row * columns + pixel.column] / 255).toFixed(2)}` : "";
    return where + data.names[pixel.label] + value;
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, y: event.clientY, from: { ...window_ }, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag && event.buttons) {
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      if (Math.hypot(dx, dy) > 4) drag.moved = true;
      if (drag.moved && window_.zoom > 1) {
        window_.x = drag.from.x - dx / scale();
        window_.y = drag.from.y - dy / scale();
      }
    }
    hover = pixelAt(event);
    if (hover) status.textContent = describe(hover);
    draw();
  });
  canvas.addEventListener("pointerleave", () => { hover = null; draw(); });
  canvas.addEventListener("pointerup", (event) => {
    const pixel = pixelAt(event);
    if (pixel && !(drag && drag.moved)) {
      status.textContent = describe(pixel);
      if (pixel.label >= 0) state.select(pixel.label);
    }
    drag = null;
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const [x, y] = at(event, canvas);
    const [column, row] = [window_.x + x / scale(), window_.y + y / scale()];
    window_.zoom = Math.min(64, Math.max(1, window_.zoom * (event.deltaY < 0 ? 1.25 : 0.8)));
    if (window_.zoom === 1) window_ = whole();
    else { window_.x = column - x / scale(); window_.y = row - y / scale(); }
    draw();
  }, { passive: false });
  document.getElementById("map-reset").addEventListener("click", () => { window_ = whole(); draw(); });
  view.addEventListener("change", paint);
  state.onChange(paint);
  window.addEventListener("resize", draw);
  paint();
}

// A row for each cluster: whether its spectrum is drawn, and a button that selects it.
function makeLegend(data, state) {
  const list = document.getElementById("legend");
  let rows = [];
  let built = null;

  function build() {
    built = data.names;
    list.replaceChildren();
    rows = built.map(row);
  }

  function row(name, cluster) {
    const item = document.createElement("li");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.title = "draw its spectrum";
    box.setAttribute("aria-label", `draw the spectrum of ${name}`);
    box.addEventListener("change", () => { state.shown[cluster] = box.checked; state.changed(); });
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = data.colours[cluster];
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => state.select(cluster));
    item.append(box, swatch, button);
    list.append(item);
    return { item, box };
  }

  function update() {
    if (built !== data.names) build(); // the merge tree was cut elsewhere
    rows.forEach(({ item, box }, cluster) => {
      box.checked = state.shown[cluster];
      item.classList.toggle("selected", cluster === state.selected);
    });
  }
  state.onChange(update);
  update();
}
