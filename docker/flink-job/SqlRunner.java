import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/**
 * Submits a SQL script without the SQL client: {@code flink run -d -c SqlRunner sql-runner.jar script.sql}.
 *
 * <p>Knows what scripts of this directory use: comments on lines of their own, {@code SET}, and statements that end
 * with a semicolon at the end of a line, {@code BEGIN … END;} being one.
 */
public final class SqlRunner {
    private static final Pattern SET = Pattern.compile("SET\\s+'([^']+)'\\s*=\\s*'([^']*)'");

    public static void main(String[] args) throws Exception {
        if (args.length != 1) {
            throw new IllegalArgumentException("usage: SqlRunner SCRIPT");
        }
        TableEnvironment tables = TableEnvironment.create(EnvironmentSettings.inStreamingMode());
        for (String statement : statements(Files.readString(Path.of(args[0])))) {
            Matcher set = SET.matcher(statement);
            if (set.matches()) {
                tables.getConfig().set(set.group(1), set.group(2));
            } else {
                tables.executeSql(statement);
            }
        }
    }

    private static List<String> statements(String script) {
        List<String> statements = new ArrayList<>();
        StringBuilder statement = new StringBuilder();
        boolean inSet = false;
        for (String line : script.lines().toList()) {
            String text = line.strip();
            if (text.isEmpty() || text.startsWith("--")) {
                continue;
            }
            inSet = text.equals("BEGIN") || inSet && !text.equals("END;");
            statement.append(line).append('\n');
            if (text.endsWith(";") && !inSet) {
                String whole = statement.toString().strip();
                // The parser wants the semicolon of END and of nothing else.
                statements.add(text.equals("END;") ? whole : whole.substring(0, whole.length() - 1));
                statement.setLength(0);
            }
        }
        if (!statement.isEmpty()) {
            throw new IllegalArgumentException("the script's last statement has no semicolon");
        }
        return statements;
    }
}
