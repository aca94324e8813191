// What the boundary must be able to do: open, invoke, receive, settle, an error with its code, close, exit.
import io.bindwright.boundary.*;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.ExecutionException;

public class Smoke {
    public static void main(String[] arguments) throws Exception {
        // Held to the end: nobody's last use of it would keep it from the garbage collector.
        try (var broker = DevBroker.start((short) 0)) {
            run(broker, arguments.length == 0);
        }
    }

    static void run(DevBroker broker, boolean closing) throws Exception {
        var client = BindingClient.open(component(broker.bootstrap()));
        var subscription = client.subscribe("orders").get();

        var order = "{\"orderId\":1}".getBytes();
        check("0", client.invoke("orders", "create", order, Map.of("partitionKey", "1")).get().metadata().get("offset"));
        check("1", client.invokeBlocking("orders", "create", order, Map.of("partitionKey", "1")).metadata().get("offset"));

        for (var received = 0; received < 2; ) {
            check(true, subscription.ready(30_000L).get());
            var batch = subscription.takeBatch(10);
            var events = batch.events();
            check("{\"orderId\":1}", new String(events.getFirst().data()));
            var outcomes = new ArrayList<BindingOutcome>();
            for (var index = 0; index < events.size(); index++) {
                outcomes.add(new BindingOutcome(index, OutcomeKind.ACK, null));
            }
            check((long) events.size(), batch.settle(outcomes));
            received += events.size();
        }

        try {
            client.invoke("missing", "create", null, Map.of()).get();
            throw new AssertionError("an unknown name is an error");
        } catch (ExecutionException failed) {
            var error = (BindingException.ComponentNotFound) failed.getCause();
            check(List.of("COMPONENT_NOT_FOUND", "missing", false), List.of(error.code(), error.component(), error.retriable()));
        }

        var ended = subscription.ready(null);
        if (closing) {
            client.shutdown().get();
            check(true, ended.get());
            check(null, subscription.takeBatch(10));
        }
        System.out.println("ok: open, invoke, receive, settle, error, " + (closing ? "close" : "exit with an open client"));
    }

    static void check(Object expected, Object found) {
        if (!Objects.equals(expected, found)) throw new AssertionError("expected " + expected + ", got " + found);
    }

    static String component(String broker) throws Exception {
        var settings = new StringBuilder("apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: orders}\n"
            + "spec:\n  type: bindings.kafka\n  version: v1\n  metadata:\n");
        Map.of("brokers", broker, "topics", "orders", "publishTopic", "orders", "consumerGroup", "smoke",
            "initialOffset", "oldest", "authType", "none")
            .forEach((name, value) -> settings.append("  - {name: " + name + ", value: \"" + value + "\"}\n"));
        var folder = Files.createTempDirectory("bindwright-");
        Files.writeString(folder.resolve("orders.yaml"), settings);
        return folder.toString();
    }
}
