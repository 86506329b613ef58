/* Pictures of trials: fetched and decoded together, ahead of their turn, and freed after it. */

export class Pictures {
  #api;
  #loads = new Map(); // trial's id -> {bitmaps: Promise<ImageBitmap[]>, stop: AbortController}

  constructor(api) {
    this.#api = api;
  }

  /**
   * All pictures of the trial, decoded, and after them the input, if there is one. Resolves when the last one is there,
   * so that none can be seen first.
   */
  load(trial) {
    const known = this.#loads.get(trial.id);
    if (known) return known.bitmaps;
    const stop = new AbortController();
    const urls = [...trial.pictures, ...(trial.input ? [trial.input] : [])];
    const bitmaps = Promise.all(urls.map((url) => this.#decoded(url, stop.signal)));
    bitmaps.catch(() => {}); // reported to whoever waits for it
    this.#loads.set(trial.id, { bitmaps, stop });
    return bitmaps;
  }

  /** Free the memory of all trials but these. */
  keepOnly(trials) {
    const ids = new Set(trials.filter(Boolean).map((trial) => trial.id));
    for (const [id, { bitmaps, stop }] of this.#loads) {
      if (ids.has(id)) continue;
      this.#loads.delete(id);
      stop.abort();
      bitmaps.then((all) => all.forEach((bitmap) => bitmap.close())).catch(() => {});
    }
  }

  async #decoded(url, signal) {
    return createImageBitmap(await this.#api.picture(url, signal));
  }
}
