(() => {
  const gallery = document.getElementById("gallery");
  const items = [...gallery.children];
  const byId = (id) => document.getElementById(id);
  const sort = byId("sort"), find = byId("find"), wrong = byId("wrong"), shown = byId("shown");
  const boxes = [...byId("kinds").querySelectorAll("input")];
  const text = new Map(items.map((item) => [item, (item.dataset.name + " " + item.textContent).toLowerCase()]));
  const number = (item) => item.dataset.near === "" ? Infinity : Number(item.dataset.near);
  const byPlace = (a, b) => a.dataset.place - b.dataset.place;
  const byName = (a, b) => a.dataset.name.localeCompare(b.dataset.name, "en", { numeric: true });
  const orders = {
    place: byPlace,
    name: byName,
    outcome: (a, b) => a.dataset.outcome.localeCompare(b.dataset.outcome, "en") || byPlace(a, b),
    near: (a, b) => (number(a) > number(b)) - (number(a) < number(b)) || byPlace(a, b),
    far: (a, b) => (number(a) === Infinity) - (number(b) === Infinity) || number(b) - number(a) || byPlace(a, b),
  };
  const filter = () => {
    const kinds = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const part = find.value.trim().toLowerCase();
    let left = 0;
    for (const item of items) {
      const keep = kinds.has(item.dataset.outcome) && text.get(item).includes(part)
        && !(wrong && wrong.checked && item.dataset.wrong === undefined);
      item.hidden = !keep;
      left += keep;
    }
    shown.textContent = left + " of " + items.length + " shown";
  };
  sort.addEventListener("change", () => {
    items.sort(orders[sort.value]);
    gallery.append(...items);
  });
  for (const each of [find, wrong, ...boxes]) {
    if (each) each.addEventListener("input", filter);
  }
  byId("tools").hidden = false;
  filter();
})();
