// A link to a cell opens it. Everything else works without this.
function show() {
  const at = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (at instanceof HTMLDetailsElement) {
    at.open = true;
    at.scrollIntoView({ block: "start" });
    at.firstElementChild.focus({ preventScroll: true });
  }
}
addEventListener("hashchange", show);
addEventListener("click", (e) => { if (location.hash && e.target.closest("a")?.hash === location.hash) show(); });
// Going to the fragment takes the focus away again: so after that.
addEventListener("load", show);
