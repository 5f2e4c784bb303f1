'use strict';
// Hides the rows that the filters leave out. Without scripts the page shows all of them.
(() => {
  const filters = document.querySelector('.filters');
  const rows = [...document.querySelectorAll('#workloads tbody tr')];
  const texts = rows.map(row => row.textContent.toLowerCase());
  const shown = document.querySelector('#shown');
  const value = name => filters.elements[name] ? filters.elements[name].value : '';

  const fits = (row, text) => {
    const words = value('text').toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.every(word => text.includes(word))) return false;
    const namespace = value('namespace');
    if (namespace && row.dataset.namespace !== namespace) return false;
    const states = [...filters.querySelectorAll('input[name=state]:checked')].map(box => box.value);
    if (states.length && !states.includes(row.dataset.state) && !states.includes(row.dataset.change)) return false;
    const column = value('column');
    const wanted = value('there');
    if (column === '' || wanted === '') return true;
    const cell = row.querySelectorAll('td[data-cell]')[Number(column)];
    return wanted.startsWith('images-') ? cell.dataset.images === wanted.slice(7) : cell.dataset.cell === wanted;
  };

  const apply = () => {
    let count = 0;
    rows.forEach((row, at) => {
      const fit = fits(row, texts[at]);
      row.hidden = !fit;
      count += fit ? 1 : 0;
    });
    shown.textContent = count === rows.length ? `all ${count} workloads` : `${count} of ${rows.length} workloads`;
  };
  // A link to the page can carry filters: scan.html#text=web&state=cannot-run
  const load = () => {
    for (const [name, wanted] of new URLSearchParams(location.hash.slice(1))) {
      const field = filters.elements[name];
      if (field === undefined) continue;
      const boxes = name === 'state' ? [...filters.querySelectorAll('input[name=state]')] : [];
      boxes.filter(box => box.value === wanted).forEach(box => { box.checked = true; });
      if (name !== 'state') field.value = wanted;
    }
  };
  const save = () => {
    const set = [...new FormData(filters)].filter(([, chosen]) => chosen !== '');
    history.replaceState(null, '', '#' + new URLSearchParams(set));
  };
  filters.hidden = false;
  load();
  filters.addEventListener('input', () => { apply(); save(); });
  filters.addEventListener('submit', event => event.preventDefault());
  apply();
})();
