/* Storage can be switched off in a browser; then what would be stored lives as long as the page. */

export function stored(use) {
  try {
    return use();
  } catch {
    return null;
  }
}
