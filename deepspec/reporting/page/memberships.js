// How probable the clusters are in each pixel, of 8 bits, for whatever cut of the merge tree is shown.

// (rows x columns) probability of one cluster.
function probabilityOf(data, cluster) {
  const n = data.rows * data.columns;
  const found = new Uint16Array(n);
  const { parents } = data.tree || {};
  for (let was = 0; was < data.segmented.k; was++) {
    const own = data.memberships.subarray(was * n, (was + 1) * n);
    // The clusters of this cut that have a part of that one.
    const parts = data.tree
      ? data.leaves.map((leaves, now) => (leaves.some((leaf) => parents[leaf] === was) ? now : -1)).filter((now) => now >= 0)
      : [was];
    if (!parts.includes(cluster)) continue;
    if (parts.length === 1) {
      for (let i = 0; i < n; i++) found[i] += own[i];
      continue;
    }
    // A finer cluster has that of the whole where the pixel is in it; the first of them also where it is in none.
    for (let i = 0; i < n; i++) {
      const label = data.labels[i];
      if (label === cluster || (cluster === parts[0] && !parts.includes(label))) found[i] += own[i];
    }
  }
  return Uint8Array.from(found, (value) => Math.min(value, 255));
}

// (rows x columns) probability of the most probable cluster.
function highestProbability(data) {
  const highest = new Uint8Array(data.rows * data.columns);
  for (let cluster = 0; cluster < data.names.length; cluster++) {
    const own = probabilityOf(data, cluster);
    for (let i = 0; i < own.length; i++) if (own[i] > highest[i]) highest[i] = own[i];
  }
  return highest;
}

// Dark blue to yellow, told apart with any kind of colour vision (cividis).
const RAMP = [[0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116],
  [195, 179, 105], [225, 204, 85], [254, 232, 56]];

function rampColour(share) {
  const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const low = Math.min(Math.floor(place), RAMP.length - 2);
  return RAMP[low].map((value, i) => Math.round(value + (place - low) * (RAMP[low + 1][i] - value)));
}

// What the views of shares show: their values, the share that is darkest, and words for both ends.
function shareView(data, view, selected) {
  if (view === "probability") return { values: probabilityOf(data, selected), from: 0, low: "0", high: "1" };
  if (view === "highest") return { values: highestProbability(data), from: 0.5, low: "unsure (0.5 or less)", high: "sure (1)" };
  if (view === "disagreement") return { values: data.disagreement, from: 0, low: "all agree (0)", high: "none does (1)" };
  return null;
}
