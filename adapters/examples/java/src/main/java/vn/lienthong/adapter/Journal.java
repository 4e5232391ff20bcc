package vn.lienthong.adapter;

import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** What is done: a line for each delivery, durable before Complete is said. */
final class Journal {
    private final Map<String, String> done = new HashMap<>();
    private final FileOutputStream file;

    Journal(Path path) throws IOException {
        // A line that a crash has cut off, in the middle of a letter perhaps, is no line.
        String text = Files.exists(path) ? new String(Files.readAllBytes(path), StandardCharsets.UTF_8) : "";
        text.substring(0, text.lastIndexOf('\n') + 1).lines().map(line -> line.split(" ", 2))
            .filter(words -> words.length == 2).forEach(words -> done.put(words[0], words[1]));
        boolean cut = !text.isEmpty() && !text.endsWith("\n");
        file = new FileOutputStream(path.toFile(), true);
        if (cut) file.write('\n');
    }

    synchronized String get(String id) { return done.get(id); }

    synchronized void add(String id, String reference) throws IOException {
        file.write((id + " " + reference + "\n").getBytes(StandardCharsets.UTF_8));
        file.getFD().sync();
        done.put(id, reference);
    }
}
