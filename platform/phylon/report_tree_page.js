// What stands above the family tree: whose line of descent is shown, and what colours mean.
{
  const model = (name) => Bokeh.documents.map((each) => each.get_model_by_name(name)).find(Boolean)
  const by = document.getElementById("family-by")
  let isFlipped = by.options[0]?.dataset.flipped
  document.getElementById("family-of").addEventListener("change", (event) => {
    const family = model("family")
    const index = family?.data.id.indexOf(Number(event.target.value)) ?? -1
    if (index >= 0) family.selected.indices = [index]
  })
  by.addEventListener("change", () => {
    const [family, shades] = [model("family"), model("shades")]
    if (!family) return // it is not drawn yet
    const { low, high, flipped } = by.selectedOptions[0].dataset
    if (flipped !== isFlipped) shades.palette = [...shades.palette].reverse()
    isFlipped = flipped
    shades.setv({ low: Number(low), high: Number(high) })
    family.data.shade = family.data[`s${by.selectedIndex}`]
    family.change.emit()
  })
}
