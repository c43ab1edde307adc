// Prints the rows of the Parquet file that is named, one JSON object a line.
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'

const rows = await parquetReadObjects({ file: await asyncBufferFromFile(process.argv[2]) })
for (const row of rows) {
  console.log(JSON.stringify(row, (_, v) => (typeof v === 'bigint' ? String(v) : v)))
}
