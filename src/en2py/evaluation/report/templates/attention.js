// Attention maps: one head large, all heads of all layers small; read with pointer or arrow keys.
(() => {
  const box = document.querySelector("[data-attention]");
  if (!box) return;
  const maps = JSON.parse(document.querySelector("[data-attention-maps]").textContent);
  const choose = {};
  for (const select of box.querySelectorAll("[data-choose]")) choose[select.dataset.choose] = select;
  const heads = box.querySelector("[data-heads]");
  const canvas = box.querySelector("[data-map]");
  const weights = box.querySelector("[data-weights]");
  const state = { layer: 0, head: 0, row: 0, column: -1 };

  // Weights come as bytes, layer after layer, head after head, row after row; 255 is `top`.
  const weightsOf = (map) => {
    if (!map.weights) {
      map.weights = Uint8Array.from(atob(map.bytes), (char) => char.charCodeAt(0));
    }
    return map.weights;
  };
  const current = () => {
    const rows = maps.filter((item) => String(item.row_number) === choose.row.value);
    const item = rows.find((one) => one.sample === choose.sample.value) || rows[0];
    return { item, map: item.kinds.find((kind) => kind.name === choose.kind.value) };
  };
  // One head, or the mean of a layer's heads where head is the number of heads.
  const weight = (map, layer, head, i, j) => {
    const [n, m] = [map.rows.length, map.columns.length];
    const at = (h) => weightsOf(map)[((layer * map.heads + h) * n + i) * m + j] / 255 * map.top;
    if (head < map.heads) return at(head);
    let sum = 0;
    for (let h = 0; h < map.heads; h++) sum += at(h);
    return sum / map.heads;
  };
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const sized = (element, width, height) => {
    const dense = window.devicePixelRatio || 1;
    element.width = Math.round(width * dense);
    element.height = Math.round(height * dense);
    element.style.width = `${width}px`;
    element.style.height = `${height}px`;
    const pen = element.getContext("2d");
    pen.scale(dense, dense);
    return pen;
  };
  const paint = (pen, map, layer, head, x, y, cell, cellHeight) => {
    pen.fillStyle = color("--accent");
    for (let i = 0; i < map.rows.length; i++) {
      for (let j = 0; j < map.columns.length; j++) {
        pen.globalAlpha = Math.min(1, weight(map, layer, head, i, j) / map.top);
        pen.fillRect(x + j * cell, y + i * cellHeight, cell, cellHeight);
      }
    }
    pen.globalAlpha = 1;
  };
  const nameOf = (map, head) => (head < map.heads ? `head ${head + 1}` : "mean");

  const drawHeads = () => {
    const { map } = current();
    heads.replaceChildren();
    for (let layer = 0; layer < map.layers; layer++) {
      const line = document.createElement("div");
      const title = document.createElement("span");
      title.textContent = `layer ${layer + 1}`;
      line.append(title);
      for (let head = 0; head <= map.heads; head++) {
        if (head === map.heads && map.heads === 1) break;
        const button = document.createElement("button");
        const picture = document.createElement("canvas");
        const label = document.createElement("span");
        button.type = "button";
        label.textContent = nameOf(map, head);
        button.setAttribute("aria-label", `layer ${layer + 1}, ${nameOf(map, head)}`);
        button.setAttribute("aria-pressed", String(layer === state.layer && head === state.head));
        const side = 52 / Math.max(map.rows.length, map.columns.length);
        const pen = sized(picture, map.columns.length * side, map.rows.length * side);
        paint(pen, map, layer, head, 0, 0, side, side);
        button.addEventListener("click", () => {
          Object.assign(state, { layer, head });
          for (const other of heads.querySelectorAll("button")) {
            other.setAttribute("aria-pressed", String(other === button));
          }
          drawMap();
        });
        button.append(picture, label);
        line.append(button);
      }
      heads.append(line);
    }
  };

  let place = null;
  const drawMap = () => {
    const { map } = current();
    const font = `12px ${getComputedStyle(canvas).fontFamily}`;
    const measure = canvas.getContext("2d");
    measure.font = font;
    const widest = (words) => Math.max(...words.map((word) => measure.measureText(word).width));
    const left = Math.ceil(widest(map.rows)) + 10;
    const top = Math.ceil(widest(map.columns)) + 10;
    const width_left = canvas.parentElement.clientWidth - left - 2;
    const cell = Math.max(15, Math.min(30, Math.floor(width_left / map.columns.length)));
    const [width, height] = [map.columns.length * cell, map.rows.length * 19];
    const pen = sized(canvas, left + width + 1, top + height + 1);
    place = { left, top, cell };
    pen.font = font;
    paint(pen, map, state.layer, state.head, left, top, cell, 19);
    pen.strokeStyle = color("--rule");
    pen.strokeRect(left + 0.5, top + 0.5, width, height);
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    map.rows.forEach((word, i) => {
      pen.fillStyle = color(i === state.row ? "--ink" : map.faint_rows[i] ? "--faint" : "--soft");
      pen.fillText(word, left - 6, top + i * 19 + 10);
    });
    pen.textAlign = "left";
    map.columns.forEach((word, j) => {
      pen.save();
      pen.translate(left + j * cell + cell / 2, top - 6);
      pen.rotate(-Math.PI / 2);
      pen.fillStyle = color(
        j === state.column ? "--ink" : map.faint_columns[j] ? "--faint" : "--soft");
      pen.fillText(word, 0, 0);
      pen.restore();
    });
    pen.strokeStyle = color("--ink");
    pen.strokeRect(left + 0.5, top + state.row * 19 + 0.5, width, 19);
    if (state.column >= 0) {
      pen.strokeRect(left + state.column * cell + 0.5, top + state.row * 19 + 0.5, cell, 19);
    }
    describe(map);
  };

  const describe = (map) => {
    const all = map.columns.map((word, j) => [
      word, weight(map, state.layer, state.head, state.row, j), j]);
    const most = [...all].sort((a, b) => b[1] - a[1]).slice(0, 4);
    const listed = (pairs) => pairs.map(([word, w]) => `${word} ${w.toFixed(2)}`).join(", ");
    const here = state.column >= 0 ? `${listed([all[state.column]])}. Most: ` : "";
    weights.textContent = `${map.rows[state.row]} attends to ${here}${listed(most)}`;
  };

  const moveTo = (row, column) => {
    const { map } = current();
    state.row = Math.max(0, Math.min(map.rows.length - 1, row));
    state.column = Math.max(-1, Math.min(map.columns.length - 1, column));
    drawMap();
  };
  const point = (event) => {
    const { map } = current();
    const edges = canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - edges.top - place.top) / 19);
    const column = Math.floor((event.clientX - edges.left - place.left) / place.cell);
    if (row < 0 || row >= map.rows.length || column >= map.columns.length) return;
    if (row !== state.row || Math.max(-1, column) !== state.column) moveTo(row, column);
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!(event.key in step)) return;
    event.preventDefault();
    moveTo(state.row + step[event.key][0], state.column + step[event.key][1]);
  });

  const fill = (select, options) => {
    const before = select.value;
    select.replaceChildren();
    for (const [value, text] of options) {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = text;
      select.append(option);
    }
    if (options.some(([value]) => value === before)) select.value = before;
  };
  const refresh = () => {
    const names = new Map(maps.map((item) => [String(item.row_number), item.row]));
    fill(choose.row, [...names]);
    const own = maps.filter((item) => String(item.row_number) === choose.row.value);
    fill(choose.sample, own.map((item) => [item.sample, item.description]));
    fill(choose.kind, current().item.kinds.map((kind) => [kind.name, kind.title]));
    const { item, map } = current();
    box.querySelector("[data-description]").textContent = item.description;
    state.layer = Math.min(state.layer, map.layers - 1);
    state.head = Math.min(state.head, map.heads);
    Object.assign(state, { row: Math.min(state.row, map.rows.length - 1), column: -1 });
    drawHeads();
    drawMap();
  };
  for (const select of Object.values(choose)) select.addEventListener("change", refresh);
  for (const button of document.querySelectorAll("[data-show-attention]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const wanted = maps[Number(button.dataset.showAttention)];
      choose.row.value = String(wanted.row_number);
      refresh();
      choose.sample.value = wanted.sample;
      refresh();
      box.scrollIntoView();
      canvas.focus({ preventScroll: true });
    });
  }
  box.hidden = false;
  refresh();
  window.addEventListener("resize", drawMap);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
})();
