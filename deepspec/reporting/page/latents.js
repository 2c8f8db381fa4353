// Latent points in three dimensions, rotated by dragging.

function makeLatents(data, state) {
  if (!data.latents) {
    document.getElementById("latent-space").hidden = true;
    return;
  }
  const canvas = document.getElementById("latents");
  const { points, dimensions } = data.latents;
  const choices = ["x", "y", "z"].map((name, i) => {
    const select = document.getElementById(`latent-${name}`);
    for (let d = 0; d < dimensions; d++) select.add(new Option(`latent ${d}`, String(d)));
    if (dimensions < 3 && i === 2) select.add(new Option("none", "-1"));
    if (dimensions < 2 && i === 1) select.add(new Option("none", "-1"));
    select.value = i < dimensions ? String(i) : "-1";
    select.addEventListener("change", draw);
    return select;
  });
  const spin = document.getElementById("latent-spin");
  const start = () => ({ turn: 0.6, tilt: 0.35, zoom: 1 });
  let camera = start();

  // Centre and half width of each dimension: every one fills the cube.
  const ranges = Array.from({ length: dimensions }, (_, d) => {
    let [low, high] = [Infinity, -Infinity];
    for (let i = d; i < points.length; i += dimensions) { low = Math.min(low, points[i]); high = Math.max(high, points[i]); }
    return { middle: (low + high) / 2, half: (high - low) / 2 || 1 };
  });

  function draw() {
    const { context, width, height } = fitCanvas(canvas, 460);
    const chosen = choices.map((select) => Number(select.value));
    const size = Math.min(width, height) * 0.29 * camera.zoom;
    const [ct, st, cp, sp] = [Math.cos(camera.turn), Math.sin(camera.turn), Math.cos(camera.tilt), Math.sin(camera.tilt)];
    function project(p) {
      const [x, y] = [p[0] * ct - p[1] * st, p[0] * st + p[1] * ct];
      return [width / 2 + x * size, height / 2 - (p[2] * cp + y * sp) * size, y * cp - p[2] * sp]; // last: depth
    }
    function place(values, offset) {
      return chosen.map((d) => (d < 0 ? 0 : (values[offset + d] - ranges[d].middle) / ranges[d].half));
    }
    drawCube(context, project, chosen);
    const order = [];
    const labels = data.latents.labels; // others when the merge tree is cut elsewhere
    for (let i = 0; i < labels.length; i++) order.push([...project(place(points, i * dimensions)), labels[i]]);
    order.sort((a, b) => b[2] - a[2]);
    for (const [x, y, , label] of order) {
      context.globalAlpha = label === state.selected ? 0.95 : 0.55;
      context.fillStyle = data.colours[label];
      const side = label === state.selected ? 2.6 : 1.8;
      context.fillRect(x - side / 2, y - side / 2, side, side);
    }
    context.globalAlpha = 1;
    context.strokeStyle = "#000";
    context.lineWidth = 1.6;
    for (let cluster = 0; cluster < data.names.length; cluster++) {
      const [x, y] = project(place(data.centres, cluster * dimensions));
      context.beginPath();
      context.moveTo(x - 5, y - 5); context.lineTo(x + 5, y + 5);
      context.moveTo(x - 5, y + 5); context.lineTo(x + 5, y - 5);
      context.stroke();
    }
  }

  function drawCube(context, project, chosen) {
    context.strokeStyle = "#cfcfcf";
    context.lineWidth = 1;
    for (const a of [-1, 1]) for (const b of [-1, 1]) for (let d = 0; d < 3; d++) {
      const ends = [-1, 1].map((c) => { const p = [a, b]; p.splice(d, 0, c); return project(p); });
      context.beginPath(); context.moveTo(ends[0][0], ends[0][1]); context.lineTo(ends[1][0], ends[1][1]); context.stroke();
    }
    context.fillStyle = "#333";
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "center";
    [[0, -1.15, -1.15], [1.15, 0, -1.15], [-1.2, -1.2, 0]].forEach((p, i) => {
      if (chosen[i] >= 0) { const [x, y] = project(p); context.fillText(`latent ${chosen[i]}`, x, y); }
    });
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, y: event.clientY, ...camera }; });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag || !event.buttons) return;
    camera.turn = drag.turn - (event.clientX - drag.x) / 150;
    camera.tilt = Math.max(-1.57, Math.min(1.57, drag.tilt + (event.clientY - drag.y) / 150));
    draw();
  });
  canvas.addEventListener("pointerup", () => { drag = null; });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    camera.zoom = Math.min(20, Math.max(0.4, camera.zoom * (event.deltaY < 0 ? 1.15 : 0.87)));
    draw();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
    if (!step) return;
    event.preventDefault();
    camera.turn += step[0];
    camera.tilt = Math.max(-1.57, Math.min(1.57, camera.tilt + step[1]));
    draw();
  });
  function turn() {
    if (!spin.checked) return;
    camera.turn += 0.01;
    draw();
    window.requestAnimationFrame(turn);
  }
  spin.addEventListener("change", turn);
  document.getElementById("latent-reset").addEventListener("click", () => { camera = start(); draw(); });
  state.onChange(draw);
  window.addEventListener("resize", draw);
  draw();
}
