/** Units of sizes, each 1024 times the one before. */
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Write a number of bytes as people read it, such as `1.4 MiB`. */
export function bytesWords(bytes: number): string {
  const step = Math.min(
    UNITS.length - 1,
    bytes > 0 ? Math.floor(Math.log(bytes) / Math.log(1024)) : 0
  );
  const amount = bytes / 1024 ** step;
  return `${step === 0 || amount >= 100 ? Math.round(amount) : amount.toFixed(1)} ${UNITS[step]}`;
}
