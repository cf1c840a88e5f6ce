// Shows below a table that it has more columns to the right.
(() => {
  for (const box of document.querySelectorAll(".scroll")) {
    const cue = box.nextElementSibling;
    const refresh = () => {
      cue.hidden = box.scrollLeft + box.clientWidth > box.scrollWidth - 8;
    };
    box.addEventListener("scroll", refresh, { passive: true });
    new ResizeObserver(refresh).observe(box);
  }
})();
