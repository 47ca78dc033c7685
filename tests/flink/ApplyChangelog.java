import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;
import org.apache.flink.util.CloseableIterator;

/**
 * Reads tables with Flink and applies the changelogs that its formats make of them.
 *
 * <p>{@code java -cp 'lib/*' ApplyChangelog.java DIRECTORY}: for each {@code NAME.sql} in it, one {@code CREATE TABLE}
 * statement of a table {@code NAME}, writes {@code NAME.rows}: the rows that are left at the end, one JSON array of
 * texts and nulls a line. A changelog that takes back a row which is not there is an error.
 */
public final class ApplyChangelog {
    private static final DateTimeFormatter DATE_TIME = DateTimeFormatter.ofPattern("uuuu-MM-dd HH:mm:ss.SSSSSS");
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        Path directory = Path.of(args[0]);
        Configuration configuration = new Configuration();
        // Files are read in their order; what Flink itself understood of an instant is shown in UTC.
        configuration.setString("parallelism.default", "1");
        configuration.setString("table.local-time-zone", "UTC");
        TableEnvironment tables = TableEnvironment.create(
            EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(configuration).build());
        List<Path> scripts;
        try (var files = Files.list(directory)) {
            scripts = files.filter(file -> file.toString().endsWith(".sql")).sorted().toList();
        }
        for (Path script : scripts) {
            String name = script.getFileName().toString().replace(".sql", "");
            String statement = Files.readString(script).strip();
            tables.executeSql(statement.endsWith(";") ? statement.substring(0, statement.length() - 1) : statement);
            List<String> rows = apply(name, tables.executeSql("SELECT * FROM `" + name + "`").collect());
            Files.write(directory.resolve(name + ".rows"), rows);
        }
    }

    private static List<String> apply(String table, CloseableIterator<Row> changes) throws Exception {
        Map<String, Integer> rows = new LinkedHashMap<>();
        try (changes) {
            while (changes.hasNext()) {
                Row change = changes.next();
                List<String> cells = new ArrayList<>();
                for (int place = 0; place < change.getArity(); place++) {
                    cells.add(text(change.getField(place)));
                }
                String row = JSON.writeValueAsString(cells);
                RowKind kind = change.getKind();
                boolean added = kind == RowKind.INSERT || kind == RowKind.UPDATE_AFTER;
                int count = rows.merge(row, added ? 1 : -1, Integer::sum);
                if (count < 0) {
                    throw new IllegalStateException(table + ": " + kind + " of a row that is not there: " + row);
                }
                if (count == 0) {
                    rows.remove(row);
                }
            }
        }
        List<String> left = new ArrayList<>();
        rows.forEach((row, count) -> left.addAll(Collections.nCopies(count, row)));
        return left;
    }

    private static String text(Object value) {
        if (value == null) {
            return null;
        } else if (value instanceof byte[] bytes) {
            return HexFormat.of().withUpperCase().formatHex(bytes);
        } else if (value instanceof BigDecimal number) {
            return number.toPlainString();
        } else if (value instanceof Instant instant) {
            return DATE_TIME.format(LocalDateTime.ofInstant(instant, ZoneOffset.UTC));
        } else if (value instanceof LocalDateTime dateTime) {
            return DATE_TIME.format(dateTime);
        } else if (value instanceof Object[] labels) {
            return String.join(",", Arrays.copyOf(labels, labels.length, String[].class));
        } else {
            return value.toString();
        }
    }
}
