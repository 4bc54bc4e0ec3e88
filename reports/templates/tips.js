"use strict";
// Explanations on hover and on focus. The same words stand in the page for screen readers.
(() => {
  const tip = document.getElementById("tip");
  let owner = null;
  const hide = () => { tip.hidden = true; owner = null; };
  const show = (event) => {
    owner = event.target.closest ? event.target.closest("[data-tip]") : null;
    if (!owner) { hide(); return; }
    tip.textContent = owner.dataset.tip;
    tip.hidden = false;
    put();
  };
  const put = () => {
    if (!owner) return;
    const place = owner.getBoundingClientRect();
    const own = tip.getBoundingClientRect();
    const width = document.documentElement.clientWidth;
    const left = Math.min(Math.max(12, place.left), width - own.width - 12);
    const above = place.top - own.height - 8;
    tip.style.left = `${Math.max(12, left)}px`;
    tip.style.top = `${above > 8 ? above : place.bottom + 8}px`;
  };
  document.addEventListener("mouseover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", put, { passive: true, capture: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
})();
