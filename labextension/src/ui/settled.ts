import { useEffect, useState } from 'react';

/** Milliseconds without a change after which something typed counts. */
const SETTLE = 300;

/** Return a value once it has not changed for a moment: for questions that typing asks. */
export function useSettled<T extends string | number | boolean | null>(value: T): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), SETTLE);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}
