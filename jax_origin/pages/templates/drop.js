(() => {
  const byId = (id) => document.getElementById(id);
  const drop = byId("drop"), files = byId("files"), message = byId("message"), frame = byId("report");
  const pause = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

  const element = (kind, parent, text) => {
    const made = document.createElement(kind);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const open = (address) => {
    frame.src = address;
    frame.hidden = false;
  };
  const question = () => {
    const names = [...document.querySelectorAll("[name=candidate]:checked")].map((box) => box.value);
    const asked = new URLSearchParams(names.map((name) => ["candidate", name]));
    if (byId("resize").checked) asked.set("resize", "true");
    return [asked, names.length];
  };
  const said = async (response) => {
    try {
      return await response.json();
    } catch {
      return { error: "the answer could not be read" };
    }
  };

  const ask = async (file, asked, item, bar, text) => {
    asked.set("name", file.name);
    let response = await fetch("/v1/jobs?" + asked, { method: "POST", body: file });
    let job = await said(response);
    while (response.ok && (job.state === "waiting" || job.state === "running")) {
      bar.value = job.share;
      text.textContent = job.ahead ? "waits for " + job.ahead + " before it" : "is being compared";
      await pause(300);
      response = await fetch("/v1/jobs/" + job.id);
      job = await said(response);
    }
    bar.remove();
    if (!response.ok || job.error) throw new Error(job.error || "no answer");
    text.textContent = job.result.answer;
    const show = element("button", item, "Show the report");
    show.type = "button";
    show.addEventListener("click", () => open(job.report));
    const link = element("a", item, "in a window of its own");
    link.href = job.report;
    link.target = "_blank";
    if (frame.hidden) open(job.report);
  };

  const take = (chosen) => {
    message.textContent = "";
    const [asked, candidates] = question();
    if (!candidates) {
      message.textContent = "Tick at least one candidate.";
      return;
    }
    for (const file of chosen) {
      byId("none").hidden = true;
      const item = element("li", byId("jobs"));
      element("strong", element("bdi", item), file.name);
      const bar = element("progress", item);
      bar.setAttribute("aria-label", "Progress of " + file.name);
      const text = element("span", item, "is sent");
      ask(file, new URLSearchParams(asked), item, bar, text).catch((error) => {
        bar.remove();
        text.className = "error";
        const named = file.name + ": ";
        text.textContent = error.message.startsWith(named) ? error.message.slice(named.length) : error.message;
      });
    }
  };

  files.addEventListener("change", () => {
    take([...files.files]);
    files.value = "";
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") take([...event.dataTransfer.files]);
    });
  }
  byId("form").addEventListener("submit", (event) => event.preventDefault());
})();
