// Fold solutions and parameter cells; mark the section in view in the table of contents.
const folded = { celltag_solution: "Solution", "celltag_injected-parameters": "Parameters of this run" };
for (const [name, label] of Object.entries(folded)) {
  for (const cell of document.querySelectorAll(`.code_cell.${name}`)) {
    const details = document.createElement("details");
    details.className = "folded";
    details.innerHTML = `<summary>${label}</summary>`;
    cell.replaceWith(details);
    details.append(cell);
  }
}
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
