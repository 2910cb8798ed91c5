"use strict";
// The page reads without this: here are the axis of the curves, the choices, the filters, and copying.
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
all(".scripted").forEach((part) => { part.hidden = false; });

// Of several <details>, one at a time, picked by name.
all(".choice").forEach((choice, number) => {
  const parts = [...choice.children];
  if (parts.length < 2) return;
  const select = document.createElement("select"), label = document.createElement("label");
  select.id = `choice-${number}`;
  parts.forEach((part, i) => select.add(new Option(part.querySelector("summary").textContent, i, part.open, part.open)));
  label.append(`${choice.dataset.name} `, select);
  select.addEventListener("change", () => parts.forEach((part, i) => { part.open = i === Number(select.value); }));
  choice.classList.add("scripts");
  choice.before(label);
});

// Steps as tokens or hours: x is stretched, method by method.
const axis = document.getElementById("axis");
if (axis) {
  const axes = JSON.parse(document.getElementById("axes").textContent);
  const between = (pairs, step) => {
    const i = Math.max(1, pairs.findIndex((pair) => pair[0] >= step)), [a, b] = [pairs[i - 1], pairs[i]];
    return a[1] + (b[1] - a[1]) * Math.min(1, (step - a[0]) / (b[0] - a[0]));
  };
  const short = (v) => v >= 1e6 ? `${+(v / 1e6).toPrecision(3)} M` : v >= 1e4 ? `${+(v / 1e3).toPrecision(3)} k` : `${+v.toPrecision(3)}`;
  const curves = all("svg[data-low]").map((svg) => ({
    svg, ticks: svg.querySelector(".x").innerHTML,
    parts: all("g[data-method] path", svg).map((part) => ({
      part, d: part.getAttribute("d"), at: part.getAttribute("transform"), method: part.parentNode.dataset.method,
    })),
  }));
  const stretch = (points, x) => points.replace(/(-?[\d.]+),(-?[\d.]+)/g, (_, px, py) => `${x(Number(px)).toFixed(1)},${py}`);
  axis.addEventListener("change", () => {
    const table = axes[axis.value];
    for (const { svg, ticks, parts } of curves) {
      const [low, high, left, right] = ["low", "high", "left", "right"].map((end) => Number(svg.dataset[end]));
      const group = svg.querySelector(".x");
      const known = parts.filter((p) => table?.[p.method]);
      const most = Math.max(...known.map((p) => between(table[p.method], high)));
      for (const { part, d, at, method } of parts) {
        const pairs = table?.[method];
        const x = (px) => pairs ? left + between(pairs, low + (px - left) / (right - left) * (high - low)) / most * (right - left) : px;
        if (at) part.setAttribute("transform", at.replace(/\(([\d.]+)/, (_, px) => `(${x(Number(px)).toFixed(1)}`));
        else part.setAttribute("d", stretch(d, x));
      }
      svg.querySelector(".unit").textContent = table ? axis.value : "optimizer step";
      group.innerHTML = ticks;
      if (!table) continue;
      const texts = all("text", group), lines = all("line", group);
      texts.forEach((text, i) => {
        const px = left + i / (texts.length - 1 || 1) * (right - left);
        text.setAttribute("x", px); text.textContent = short(i / (texts.length - 1 || 1) * most);
        lines[i].setAttribute("x1", px); lines[i].setAttribute("x2", px);
      });
    }
  });
}

// Two methods side by side, and only the questions asked for; the choice stands in the address.
const filters = document.querySelector(".filters");
if (filters) {
  const field = filters.elements, questions = all(".question");
  const said = (question, method) => all(".said", question).find((part) => part.dataset.method === method)?.classList;
  const fits = {
    "": () => true,
    arbw: (a, b) => a?.contains("right") && b?.contains("wrong"),
    awbr: (a, b) => a?.contains("wrong") && b?.contains("right"),
    wrong: (a) => a?.contains("wrong"),
    leaking: (a, b) => a?.contains("leaking") || b?.contains("leaking"),
    truncated: (a, b) => a?.contains("truncated") || b?.contains("truncated"),
  };
  const draw = () => {
    const [bench, a, b, show] = ["bench", "a", "b", "show"].map((name) => field[name].value);
    let count = 0;
    for (const question of questions) {
      question.hidden = !((!bench || question.dataset.bench === bench) && fits[show]?.(said(question, a), said(question, b)));
      count += !question.hidden;
      all("[data-method]", question).forEach((part) => { part.hidden = part.dataset.method !== a && part.dataset.method !== b; });
    }
    filters.querySelector("output").textContent = `${count} of ${questions.length} questions`;
  };
  const follow = () => {
    const [place, query] = location.hash.slice(1).split("?");
    for (const [name, value] of new URLSearchParams(query ?? "")) {
      if (field[name] && [...field[name].options].some((option) => option.value === value)) field[name].value = value;
    }
    draw();
    const target = document.getElementById(place);
    if (!target) return;
    if (target.matches(".question")) { target.hidden = false; target.open = true; }
    if (query !== undefined || target.matches(".question")) target.scrollIntoView();
  };
  field.a.selectedIndex = field.a.options.length - 1;
  field.b.selectedIndex = Math.min(1, field.b.options.length - 1);
  filters.addEventListener("change", () => {
    draw();
    const chosen = new URLSearchParams(["bench", "a", "b", "show"].map((name) => [name, field[name].value]));
    history.replaceState(null, "", `#replies?${chosen}`);
  });
  addEventListener("hashchange", follow);
  follow();
}

all("pre[data-copy]").forEach((pre) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(pre.textContent); button.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(pre); button.textContent = "Selected: press Ctrl+C"; }
  });
  pre.before(button);
});
