// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them, each with its unit.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const bits = (value) => `${whole.format(value)} bits`;
export const count = (value) => whole.format(value);
export const percent = (value, digits = 1) => `${value.toFixed(digits)} %`;
export const ber = (value) => String(Number(value.toPrecision(3)));
export const speed = (value) => `${value < 10 ? value.toFixed(1) : whole.format(value)} images/s`;
export const milliseconds = (value) => `${value.toFixed(value < 100 ? 1 : 0)} ms`;

/** Bits a second, with the prefix that keeps it short. */
export function rate(value) {
  for (const [factor, unit] of [[1e6, "Mbit/s"], [1e3, "kbit/s"]]) {
    if (value >= factor) return `${(value / factor).toFixed(1)} ${unit}`;
  }
  return `${whole.format(value)} bit/s`;
}

/** A time to come: seconds, minutes or hours, no more exact than a guess is. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
