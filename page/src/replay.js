// A recording and its sound: the sound's own clock says which face is shown.

/** Rows of time (s), 52 weights and perhaps the head's turn; `at(seconds)` is the row shown then. */
export class Recording {
  constructor(buffer, width) {
    this.rows = new Float32Array(buffer);
    this.width = width;
    this.count = this.rows.length / width;
  }

  time(i) {
    return this.rows[i * this.width];
  }

  /** What follows the time of the last face at or before `seconds`, by bisection. */
  at(seconds) {
    let low = 0, high = this.count;
    while (high - low > 1) {
      const mid = (low + high) >> 1;
      if (this.time(mid) <= seconds) low = mid;
      else high = mid;
    }
    return this.rows.subarray(low * this.width + 1, (low + 1) * this.width);
  }
}

/** `width` is the columns of a row. */
export async function load(width) {
  return new Recording(await (await fetch("recording.bin")).arrayBuffer(), width);
}

/** The sound as an object of the browser, so that it can be sought in. */
export async function sound(audio) {
  audio.src = URL.createObjectURL(await (await fetch("clip.wav")).blob());
}
