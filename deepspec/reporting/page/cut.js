// The merge tree cut elsewhere: labels, names, sizes, spectra and borders of coarser or finer clusters.

// Unpacks the tree, and gives every cut, also that of the segmentation, its leaves.
async function readTree(data) {
  data.segmented = {
    k: data.names.length, names: data.names, colours: data.colours, labels: data.labels, sizes: data.sizes,
    peaks: data.peaks, centres: data.centres, borders: data.borders,
    spectra: Object.fromEntries(Object.entries(data.spectra).map(([kind, { values }]) => [kind, values])),
    sample: data.latents && data.latents.labels,
  };
  const tree = data.tree;
  if (!tree) return;
  const floats = async (text) => new Float32Array((await inflate(text)).buffer);
  const integers = async (text) => new Int16Array((await inflate(text)).buffer);
  // What is missing is the same as of the clusters.
  tree.labels = tree.labels ? await integers(tree.labels) : data.labels;
  tree.centres = tree.centres ? await floats(tree.centres) : data.centres;
  tree.sample = tree.sample ? await integers(tree.sample) : data.segmented.sample;
  const kinds = Object.keys(data.spectra);
  const spectra = await Promise.all(kinds.map((kind) => tree.spectra ? floats(tree.spectra[kind]) : data.spectra[kind].values));
  tree.spectra = Object.fromEntries(kinds.map((kind, i) => [kind, spectra[i]]));
  tree.k = tree.parents.length;
  data.segmented.leaves = data.names.map((_, cluster) => leavesOf(tree.parents, cluster));
  data.leaves = data.segmented.leaves;
}

function leavesOf(parents, cluster) {
  return parents.map((parent, leaf) => (parent === cluster ? leaf : -1)).filter((leaf) => leaf >= 0);
}

// The leaves of each of k clusters, the largest first.
function clustersOf(tree, k) {
  const nodes = new Map(tree.parents.map((_, leaf) => [leaf, [leaf]]));
  tree.merges.slice(0, tree.k - k).forEach(([first, second], number) => {
    nodes.set(tree.k + number, [...nodes.get(first), ...nodes.get(second)].sort((a, b) => a - b));
    nodes.delete(first);
    nodes.delete(second);
  });
  const found = [...nodes.values()].sort((a, b) => a[0] - b[0]);
  const size = (leaves) => leaves.reduce((sum, leaf) => sum + tree.sizes[leaf], 0);
  return found.sort((a, b) => size(b) - size(a));
}

// (K, N) means of the leaves' rows of N values, by their sizes.
function merged(values, tree, clusters) {
  const n = values.length / tree.k;
  const means = new Float32Array(clusters.length * n);
  clusters.forEach((own, cluster) => {
    const filled = own.filter((leaf) => tree.sizes[leaf] > 0);
    const used = filled.length ? filled : own.slice(0, 1);
    const weights = used.map((leaf) => Math.max(tree.sizes[leaf], 1));
    const total = weights.reduce((a, b) => a + b, 0);
    for (let i = 0; i < n; i++) {
      let sum = 0;
      used.forEach((leaf, number) => { sum += weights[number] * values[leaf * n + i]; });
      means[cluster * n + i] = sum / total;
    }
  });
  return means;
}

// (K, K) r at which each pair is joined.
function bordersOf(tree, clusters) {
  const place = [];
  clusters.forEach((own, cluster) => own.forEach((leaf) => { place[leaf] = cluster; }));
  const borders = clusters.map((_, i) => clusters.map((__, j) => (i === j ? 1 : 0)));
  const nodes = new Map(tree.parents.map((_, leaf) => [leaf, [leaf]]));
  tree.merges.forEach(([first, second, r], number) => {
    const [one, other] = [nodes.get(first), nodes.get(second)];
    for (const i of new Set(one.map((leaf) => place[leaf]))) {
      for (const j of new Set(other.map((leaf) => place[leaf]))) if (i !== j) borders[i][j] = borders[j][i] = r;
    }
    nodes.set(tree.k + number, [...one, ...other]);
  });
  return borders;
}

function shareName(cluster, share) {
  if (share === 0) return `cluster ${cluster}: empty`;
  return share >= 0.0005 ? `cluster ${cluster}: ${(100 * share).toFixed(1)} %` : `cluster ${cluster}: < 0.1 %`;
}

function largestOf(tree, leaves) {
  return leaves.reduce((best, leaf) => (tree.sizes[leaf] > tree.sizes[best] ? leaf : best));
}

// Makes the page about k clusters. Those that are clusters of the segmentation keep their peaks; others have none.
function cutAt(data, k) {
  const { tree, segmented } = data;
  if (k === segmented.k) {
    const { names, colours, labels, sizes, peaks, centres, borders, leaves } = segmented;
    Object.assign(data, { names, colours, labels, sizes, peaks, centres, borders, leaves });
    for (const kind of Object.keys(data.spectra)) data.spectra[kind].values = segmented.spectra[kind];
    if (data.latents) data.latents.labels = segmented.sample;
    return;
  }
  const clusters = clustersOf(tree, k);
  const place = new Int16Array(tree.k);
  clusters.forEach((own, cluster) => own.forEach((leaf) => { place[leaf] = cluster; }));
  const sizes = clusters.map((own) => own.reduce((sum, leaf) => sum + tree.sizes[leaf], 0));
  const all = sizes.reduce((a, b) => a + b, 0);
  Object.assign(data, {
    leaves: clusters,
    sizes,
    names: sizes.map((size, cluster) => shareName(cluster, size / all)),
    colours: clusters.map((own) => tree.colours[largestOf(tree, own)]),
    labels: tree.labels.map((leaf) => (leaf < 0 ? -1 : place[leaf])),
    centres: merged(tree.centres, tree, clusters),
    borders: bordersOf(tree, clusters),
    peaks: clusters.map((own) => {
      const same = segmented.leaves.findIndex((leaves) => leaves.join() === own.join());
      return same < 0 ? null : segmented.peaks[same];
    }),
  });
  for (const kind of Object.keys(data.spectra)) data.spectra[kind].values = merged(tree.spectra[kind], tree, clusters);
  if (data.latents) data.latents.labels = tree.sample.map((leaf) => (leaf < 0 ? -1 : place[leaf]));
}

// What a cut of k clusters keeps and gives up, in words.
function cutSentence(tree, k) {
  const r = (merge) => tree.merges[merge][2].toFixed(2);
  if (tree.k === 1) return "One material: there is nothing to merge and nothing finer.";
  if (k === 1) return `One material: no border is kept; the firmest has r = ${r(tree.k - 2)}.`;
  const kept = `Borders up to r = ${r(tree.k - k)} are kept`;
  return k === tree.k ? `${kept}: this is the finest cut.` : `${kept}; those from r = ${r(tree.k - k - 1)} on are given up.`;
}

// The slider. The clusters that are shown and selected stay, in whatever they have become a part of.
function makeCut(data, state) {
  const { tree, segmented } = data;
  if (!tree || tree.k === 1) return;
  document.getElementById("cut").hidden = false;
  const slider = document.getElementById("cut-k");
  const shown = document.getElementById("cut-shown");
  const status = document.getElementById("cut-status");
  const reset = document.getElementById("cut-reset");
  slider.max = String(tree.k);
  for (let k = 1; k <= tree.k; k++) {
    const number = document.createElement("span");
    number.textContent = String(k);
    if (k === segmented.k) number.className = "here";
    document.getElementById("cut-scale").append(number);
  }
  document.getElementById("cut-marks").append(new Option("", String(segmented.k)));
  reset.textContent = `this segmentation: K = ${segmented.k}`;

  function describe(k) {
    shown.textContent = String(k);
    status.textContent = cutSentence(tree, k) + (k === segmented.k ? " This is the segmentation as it was written." : "");
  }

  function cut(k) {
    const anchors = data.leaves.map((own) => largestOf(tree, own));
    const chosen = anchors[state.selected];
    const drawn = anchors.filter((_, cluster) => state.shown[cluster]);
    cutAt(data, k);
    const now = (leaf) => data.leaves.findIndex((own) => own.includes(leaf));
    state.shown = new Array(k).fill(false);
    for (const leaf of drawn) state.shown[now(leaf)] = true;
    state.selected = now(chosen);
    describe(k);
    state.changed();
  }

  slider.value = String(segmented.k);
  slider.addEventListener("input", () => cut(Number(slider.value)));
  reset.addEventListener("click", () => { slider.value = String(segmented.k); cut(segmented.k); });
  describe(segmented.k);
}
