readData().then((data) => {
  const state = makeState(data.names.length);
  makeMap(data, state);
  makeLegend(data, state);
  const spectra = makeSpectra(data, state);
  makePeaks(data, state, spectra);
  makeLatents(data, state);
  document.body.dataset.ready = "true";
}).catch((error) => {
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = `The map and the spectra cannot be shown (${error.message}): they need a browser of 2023 or later.`;
  document.querySelector("header").append(note);
});
