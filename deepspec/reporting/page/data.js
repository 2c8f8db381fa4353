"use strict";

// What the page is about: plain numbers, and arrays as base64 of little-endian bytes.

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function floatsOf(base64) {
  return new Float32Array(bytesOf(base64).buffer);
}

async function inflate(base64) {
  const stream = new Blob([bytesOf(base64)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function readData() {
  const data = JSON.parse(document.getElementById("data").textContent);
  data.labels = new Int16Array((await inflate(data.labels)).buffer);
  for (const name of Object.keys(data.images)) data.images[name] = await inflate(data.images[name]);
  for (const axis of Object.values(data.axes)) axis.values = floatsOf(axis.values);
  for (const kind of Object.values(data.spectra)) kind.values = floatsOf(kind.values);
  if (data.latents) {
    data.latents.points = floatsOf(data.latents.points);
    data.latents.labels = new Int16Array(bytesOf(data.latents.labels).buffer);
  }
  data.centres = floatsOf(data.centres);
  if (data.memberships) data.memberships = await inflate(data.memberships);
  if (data.disagreement) data.disagreement = await inflate(data.disagreement);
  await readTree(data);
  return data;
}

// The spectrum of a cluster and its axis.
function spectrumOf(data, kind, cluster) {
  const { axis, values } = data.spectra[kind];
  const x = data.axes[axis].values;
  return { x, y: values.subarray(cluster * x.length, (cluster + 1) * x.length), label: data.axes[axis].label };
}

// What is chosen, and whom to tell when that changes.
function makeState(k) {
  const listeners = [];
  return {
    selected: 0,
    shown: new Array(k).fill(false).map((_, cluster) => cluster === 0),
    onChange(listener) { listeners.push(listener); },
    changed() { for (const listener of listeners) listener(); },
    select(cluster) {
      if (!this.shown[cluster]) {
        // Only one was shown: it goes with the selection.
        if (this.shown.filter(Boolean).length === 1) this.shown.fill(false);
        this.shown[cluster] = true;
      }
      this.selected = cluster;
      this.changed();
    },
  };
}

// A canvas with as many pixels as the screen has, and its size in CSS pixels.
function fitCanvas(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

function at(event, canvas) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left - canvas.clientLeft, event.clientY - box.top - canvas.clientTop];
}

function short(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size >= 1e5 || size < 1e-3) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}
