// Shows the line of descent of the candidate that was selected last, the first ancestor first.
const { id, parents, x, y } = nodes.data
const selected = nodes.selected.indices
if (selected.length > 0) {
  const place = new Map(Array.from(id, (each, row) => [each, row]))
  const rows = []
  const ways = { way: { x: [], y: [] }, aside: { x: [], y: [] } }
  const draw = (to, parent, child) => {
    for (let i = 0; i < points; i++) {
      const t = i / (points - 1)
      to.x.push(x[parent] + (x[child] - x[parent]) * t * t * (3 - 2 * t))
      to.y.push(y[parent] + (y[child] - y[parent]) * t)
    }
    to.x.push(NaN)
    to.y.push(NaN)
  }
  for (let row = selected[selected.length - 1]; row !== undefined; ) {
    rows.unshift(row)
    const [first, ...others] = parents[row].map((parent) => place.get(parent))
    if (first !== undefined) draw(ways.way, first, row)
    for (const other of others) draw(ways.aside, other, row)
    row = first
  }
  const ids = rows.map((row) => id[row])
  line.data = { id: ids, x: rows.map((row) => x[row]), y: rows.map((row) => y[row]) }
  way.data = ways.way
  aside.data = ways.aside
  const told = ids.length > 12 ? [...ids.slice(0, 4), "…", ...ids.slice(-7)] : ids
  title.text = `Line of descent: ${told.join(" → ")}`
}
