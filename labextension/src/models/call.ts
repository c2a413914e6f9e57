import type { Deployment } from '../api/types';

/** A table as pandas splits it: what a model's input example mostly is. */
interface ISplit {
  columns: string[];
  data: unknown[][];
}

/**
 * Write the cell that calls a deployment with its input example.
 *
 * @param deployment - Without an example, the cell asks for a DataFrame of its inputs.
 */
export function callSnippet({ name, input_example: example, inputs }: Deployment): string {
  const target = python(name);
  const split = example?.dataframe_split;
  if (isSplit(split)) {
    const rows = split.data.slice(0, 2).map(row => {
      const cells = split.columns.map((column, at) => `${python(column)}: ${python(row[at])}`);
      return `    {${cells.join(', ')}},`;
    });
    return ['import perijove', '', `perijove.models.predict(${target}, [`, ...rows, '])'].join(
      '\n'
    );
  }
  if (example) {
    return [
      'import json',
      '',
      'import perijove',
      '',
      `perijove.models.score(${target}, json.dumps(${python(example)}).encode())`
    ].join('\n');
  }
  const columns = inputs.map(input => input.name).filter(Boolean);
  const hint = columns.length > 0 ? `# df has the columns ${columns.join(', ')}\n` : '';
  return `import perijove\n\n${hint}perijove.models.predict(${target}, df)`;
}

function isSplit(value: unknown): value is ISplit {
  return (
    typeof value === 'object' &&
    value !== null &&
    'columns' in value &&
    'data' in value &&
    Array.isArray(value.columns) &&
    Array.isArray(value.data)
  );
}

/** Write a JSON value as Python does. */
function python(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map(python).join(', ')}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, item]) => `${python(key)}: ${python(item)}`);
    return `{${members.join(', ')}}`;
  }
  if (value === null || value === undefined) {
    return 'None';
  }
  return typeof value === 'boolean' ? (value ? 'True' : 'False') : JSON.stringify(value);
}
