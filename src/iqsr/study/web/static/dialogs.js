/* Windows over the page: buttons with `data-opens` open the one of that id, those with `data-closes` close theirs. */

export function openDialog(id) {
  for (const open of document.querySelectorAll("dialog[open]")) open.close();
  document.getElementById(id).showModal();
}

export function bindDialogs() {
  for (const button of document.querySelectorAll("[data-opens]"))
    button.addEventListener("click", () => openDialog(button.dataset.opens));
  for (const button of document.querySelectorAll("[data-closes]"))
    button.addEventListener("click", () => button.closest("dialog").close());
}
