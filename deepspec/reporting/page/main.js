readData().then((data) => {
  const state = makeState(data.names.length);
  makeCut(data, state);
  makeMap(data, state);
  makeLegend(data, state);
  const spectra = makeSpectra(data, state);
  makePeaks(data, state, spectra);
  makeBorders(data, state);
  makeLatents(data, state);
  window.deepspecReport = data; // for whoever wants to look at the numbers in the browser's console
  document.body.dataset.ready = "true";
}).catch((error) => {
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = `The map and the spectra cannot be shown (${error.message}): they need a browser of 2023 or later.`;
  document.querySelector("header").append(note);
});
