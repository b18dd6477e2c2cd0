// Fold solutions with their prose, and parameter cells; fold the table of contents on narrow screens; mark the section in view in the table of contents.
const folded = { celltag_solution: "Solution", "celltag_injected-parameters": "Parameters of this run" };
for (const [name, label] of Object.entries(folded)) {
  for (const cell of document.querySelectorAll(`.code_cell.${name}`)) {
    const before = cell.previousElementSibling;
    const said = before?.classList.contains("text_cell") && before.textContent.trim().match(/^Solution( (?:of )?\d+)?/);
    const details = document.createElement("details");
    details.className = "folded";
    details.innerHTML = `<summary>${said && name === "celltag_solution" ? said[0] : label}</summary>`;
    cell.replaceWith(details);
    if (said && name === "celltag_solution") { details.append(before); }
    details.append(cell);
  }
}
if (window.innerWidth < 992) { document.querySelector("aside details")?.removeAttribute("open"); }
const links = new Map([...document.querySelectorAll("aside a")].map((a) => [decodeURIComponent(a.hash.slice(1)), a]));
const watch = new IntersectionObserver((seen) => {
  for (const entry of seen) {
    if (entry.isIntersecting) {
      links.forEach((a) => a.classList.remove("here"));
      links.get(entry.target.id)?.classList.add("here");
    }
  }
}, { rootMargin: "0px 0px -70% 0px" });
links.forEach((_, id) => { const heading = document.getElementById(id); if (heading) watch.observe(heading); });
