// Filters the samples by row and verdict, and opens them all at once.
(() => {
  const controls = document.querySelector("[data-filter]");
  if (!controls) return;
  const row = controls.querySelector("[data-filter-row]");
  const verdict = controls.querySelector("[data-filter-verdict]");
  const count = controls.querySelector("[data-filter-count]");
  const openAll = controls.querySelector("[data-open-all]");
  const samples = [...document.querySelectorAll("[data-sample]")];
  const fits = (mark) =>
    (!row.value || mark.dataset.row === row.value) &&
    (!verdict.value || mark.dataset.verdict === verdict.value);
  const filter = () => {
    for (const sample of samples) {
      sample.hidden = ![...sample.querySelectorAll("[data-verdict]")].some(fits);
    }
    const shown = samples.filter((sample) => !sample.hidden).length;
    count.textContent = `${shown} of ${samples.length} samples`;
  };
  row.addEventListener("change", filter);
  verdict.addEventListener("change", filter);
  openAll.addEventListener("click", () => {
    const open = openAll.getAttribute("aria-pressed") !== "true";
    openAll.setAttribute("aria-pressed", String(open));
    openAll.textContent = open ? "close all" : "open all";
    for (const sample of samples) sample.open = open;
  });
  controls.hidden = false;
  filter();
})();
