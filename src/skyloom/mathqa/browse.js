"use strict";
(() => {
  const PAGE = 50;
  const rows = JSON.parse(document.getElementById("data").textContent);
  const make = (name, text, kind) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text; // never markup: what a model wrote stays text
    if (kind) element.className = kind;
    return element;
  };
  const state = { verdict: "", level: "", subject: "", words: "", page: 0 };
  const VERDICTS = [
    ["", "all", () => true],
    ["right", "right", (row) => row.equal],
    ["wrong", "wrong", (row) => !row.equal],
    ["disputed", "disputed by graders", (row) => row.disputed],
    ["cut", "cut at its longest length", (row) => !row.finished && !row.failed],
    ["none", "without an answer", (row) => row.answer === null && !row.failed],
    ["failed", "not answered", (row) => Boolean(row.failed)],
  ];
  const named = (key) => [...new Set(rows.map((row) => row[key]).filter((value) => value !== null && value !== ""))].sort();
  const haystack = rows.map((row) => [row.id, row.question, row.output, row.gold, row.answer].join("\n").toLowerCase());

  const shown = () => {
    const passes = VERDICTS.find((each) => each[0] === state.verdict)[2];
    const words = state.words.toLowerCase().split(/\s+/).filter(Boolean);
    return rows.filter(
      (row, k) =>
        passes(row) &&
        (state.level === "" || String(row.level) === state.level) &&
        (state.subject === "" || row.subject === state.subject) &&
        words.every((word) => haystack[k].includes(word)),
    );
  };

  const card = (row) => {
    const article = make("article", undefined, row.failed ? "failed" : row.equal ? "right" : "wrong");
    const head = make("header");
    head.append(make("code", row.id), make("b", row.failed ? "not answered" : row.equal ? "right" : "wrong", "verdict"));
    if (row.disputed) head.append(make("span", "disputed", "chip"));
    if (!row.finished && !row.failed) head.append(make("span", "cut", "chip"));
    if (row.level !== null) head.append(make("span", `level ${row.level}`, "chip"));
    if (row.subject) head.append(make("span", row.subject, "chip"));
    if (typeof row.nll === "number") head.append(make("span", `${row.nll.toFixed(3)} nats a token`, "chip"));
    article.append(head, make("p", row.question, "question"));
    const told = make("dl");
    const line = (name, value) => told.append(make("dt", name), make("dd", value));
    line("gold", row.gold);
    line("answer", row.answer === null ? "none found" : row.answer);
    line("decided by", row.by);
    if (row.verdicts) {
      line("graders", Object.entries(row.verdicts).map(([name, each]) => `${name}: ${each.equal ? "equal" : "not equal"}`).join(", "));
    }
    if (row.votes) line("votes", row.votes.map((vote) => (vote === null ? "none" : vote)).join(" | "));
    article.append(told, make("pre", row.failed || row.output));
    return article;
  };

  const draw = () => {
    const found = shown();
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const right = found.filter((row) => row.equal).length;
    document.getElementById("count").textContent =
      `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} outputs, ${right.toLocaleString("en")} right`;
    const start = state.page * PAGE;
    document.getElementById("rows").replaceChildren(...found.slice(start, start + PAGE).map(card));
    const turn = (name, by) => {
      const button = make("button", name);
      button.disabled = state.page + by < 0 || state.page + by >= pages;
      button.addEventListener("click", () => {
        state.page += by;
        draw();
        window.scrollTo(0, 0);
      });
      return button;
    };
    const place = make("span", `page ${state.page + 1} of ${pages}`);
    document.getElementById("pages").replaceChildren(turn("previous", -1), place, turn("next", 1));
  };

  const change = (key) => (event) => {
    state[key] = event.target.value;
    state.page = 0;
    draw();
  };
  const select = (key, name, options) => {
    const label = make("label", `${name} `);
    const box = make("select");
    options.forEach(([value, text]) => {
      const option = make("option", text);
      option.value = value;
      box.append(option);
    });
    box.addEventListener("change", change(key));
    label.append(box);
    return label;
  };
  const form = document.getElementById("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  const all = (key) => [["", "all"], ...named(key).map((value) => [String(value), String(value)])];
  form.append(select("verdict", "show", VERDICTS));
  if (named("level").length) form.append(select("level", "level", all("level")));
  if (named("subject").length) form.append(select("subject", "subject", all("subject")));
  const search = make("input");
  search.type = "search";
  search.placeholder = "words in question, output or id";
  search.setAttribute("aria-label", "search");
  search.addEventListener("input", change("words"));
  form.append(search);
  draw();
})();
