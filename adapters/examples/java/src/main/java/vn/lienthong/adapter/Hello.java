package vn.lienthong.adapter;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import java.util.Properties;

/** hello-java: writes each delivery into a folder. */
public final class Hello implements Adapter {
    private Path out;

    public String name() { return "hello-java"; }

    public String schema() { return "{\"type\": \"object\", \"required\": [\"out\"], \"properties\": {\"out\": {\"type\": \"string\"}}}"; }

    public Map<String, String> problems(Properties config) {
        return config.containsKey("out") ? Map.of() : Map.of("out", "is missing; name the folder that deliveries go into");
    }

    public void open(Properties config) throws IOException {
        out = Files.createDirectories(Path.of(config.getProperty("out")));
    }

    public String deliver(Delivery delivery) throws Exception {
        if (delivery.envelope().hasOpaque()) throw new Failed("CONTENT_NOT_TAKEN", "this folder takes documents, dossiers and statuses", false);
        Path early = out.resolve("." + delivery.id()), target = out.resolve(delivery.id());
        if (!Files.exists(target)) {
            delivery.writeInto(early);
            delivery.checkLease();
            Files.move(early, target, StandardCopyOption.ATOMIC_MOVE);
            Delivery.sync(out);
        }
        return delivery.id().substring(0, 8);
    }

    public static void main(String[] arguments) throws Exception { new Worker(new Hello()).run(); }
}
