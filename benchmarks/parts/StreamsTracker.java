// The tracker's work as an application of Kafka Streams: what `ingest.py` holds the tracker to on
// Apache Kafka. Run from source, one stream thread:
//
//     java -cp 'JARS/*' benchmarks/parts/StreamsTracker.java KAFKA APPLICATION FOLDER MESSAGES \
//         MAX_EVENTS GROWTH_FIRST GROWTH_FACTOR FETCH_BYTES POLL_RECORDS
//
// As the Faust agent beside it, it decodes each event, keeps those of a cascade in a store (up to
// a bound; later ones are counted), passes over repeats, finds the parent by event, then by user, and
// sends the same snapshot at the same growth triggers. The store is Kafka Streams' own default:
// RocksDB, cached, with every change of a commit written to its changelog topic. Values are packed,
// not JSON, and users are hashed as they come.
//
// It does less than the tracker, as the Faust agent does. A virtual machine compiles what it runs
// while it runs: the log is worked off once before the clock starts, by an application of its own,
// and the same code is timed on it a second time, from its first event to its end, with everything
// flushed and committed.

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

public class StreamsTracker {
  static final int ROOT = -1;
  static final int UNKNOWN = -2;
  // One event in a value: hashes of event and user, time, parent, depth. Before them: the count.
  static final int EVENT_BYTES = 8 + 8 + 8 + 4 + 4;
  static final int HEAD_BYTES = 4;
  static int maxEvents;
  static Set<Integer> growth;
  static final JsonFactory JSON = new JsonFactory();
  static final OperatingSystemMXBean MACHINE =
      (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

  public static void main(String[] told) throws Exception {
    long messages = Long.parseLong(told[3]);
    maxEvents = Integer.parseInt(told[4]);
    growth = growth(Integer.parseInt(told[5]), Double.parseDouble(told[6]));
    Properties settings = settings(told[0], told[2], told[7], told[8]);
    run(settings, told[1] + "-warm", messages);
    Clock clock = run(settings, told[1], messages);
    System.out.printf(
        "{\"messages\": %d, \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"snapshots\": %d}%n",
        messages, clock.seconds, clock.cpuSeconds, clock.snapshots);
  }

  static Properties settings(String kafka, String folder, String fetchBytes, String pollRecords) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, kafka);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.String().getClass());
    settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArray().getClass());
    settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    settings.put(ConsumerConfig.CHECK_CRCS_CONFIG, false); // as the other contenders
    settings.put(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, fetchBytes); // likewise
    settings.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, pollRecords); // likewise
    return settings;
  }

  /** The counts at which a cascade is told. */
  static Set<Integer> growth(int first, double factor) {
    Set<Integer> triggers = new HashSet<>();
    for (long count = first; count < 1L << 31; ) {
      triggers.add((int) count);
      count = Math.max((long) (count * factor), count + 1);
    }
    return triggers;
  }

  /** Works the log off, to the end of the application. */
  static Clock run(Properties settings, String application, long messages)
      throws InterruptedException {
    Clock clock = new Clock(messages);
    Topology topology = new Topology();
    topology
        .addSource("events", "social.events")
        .addProcessor("track", () -> new Track(clock), "events")
        .addStateStore(
            Stores.keyValueStoreBuilder(
                    Stores.persistentKeyValueStore("cascades"), Serdes.String(), Serdes.ByteArray())
                .withCachingEnabled(),
            "track")
        .addSink("snapshots", "cascade.snapshots", "track");
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
    try (KafkaStreams streams = new KafkaStreams(topology, settings)) {
      streams.start();
      clock.done.await();
      streams.close(Duration.ofMinutes(2));
    }
    clock.stop();
    return clock;
  }

  /** Wall and processor seconds of this process, from the first of so many messages on. */
  static class Clock {
    final CountDownLatch done = new CountDownLatch(1);
    final long messages;
    long seen;
    long snapshots;
    double seconds;
    double cpuSeconds;
    private long began;
    private long cpuBegan;

    Clock(long messages) {
      this.messages = messages;
    }

    void start() {
      if (began == 0) {
        began = System.nanoTime();
        cpuBegan = MACHINE.getProcessCpuTime();
      }
    }

    void count() {
      if (++seen == messages) {
        done.countDown();
      }
    }

    void stop() {
      seconds = (System.nanoTime() - began) / 1e9;
      cpuSeconds = (MACHINE.getProcessCpuTime() - cpuBegan) / 1e9;
    }
  }

  /** What an event says, as far as it is needed. */
  static class Event {
    String cascade;
    long event;
    long user;
    double time;
    boolean isPost;
    long parent;
    long parentUser;
    boolean hasParent;
    boolean hasParentUser;

    static Event decode(byte[] value) throws IOException {
      Event event = new Event();
      try (JsonParser parser = JSON.createParser(value)) {
        parser.nextToken();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
          String name = parser.currentName();
          JsonToken token = parser.nextToken();
          boolean isThere = token != JsonToken.VALUE_NULL;
          switch (name) {
            case "cascade_id" -> event.cascade = parser.getText();
            case "event_id" -> event.event = hash(parser.getText());
            case "user_id" -> event.user = hash(parser.getText());
            case "timestamp" -> event.time = parser.getDoubleValue();
            case "kind" -> event.isPost = "post".equals(parser.getText());
            case "parent_id" -> {
              event.hasParent = isThere;
              event.parent = isThere ? hash(parser.getText()) : 0;
            }
            case "parent_user_id" -> {
              event.hasParentUser = isThere;
              event.parentUser = isThere ? hash(parser.getText()) : 0;
            }
            default -> parser.skipChildren();
          }
        }
      }
      return event;
    }

    /** FNV-1a over the characters. */
    static long hash(String text) {
      long hash = 0xcbf29ce484222325L;
      for (int index = 0; index < text.length(); index++) {
        hash = (hash ^ text.charAt(index)) * 0x100000001b3L;
      }
      return hash;
    }
  }

  static class Track implements Processor<String, byte[], String, byte[]> {
    private final Clock clock;
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> cascades;

    Track(Clock clock) {
      this.clock = clock;
    }

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
      this.context = context;
      this.cascades = context.getStateStore("cascades");
    }

    @Override
    public void process(Record<String, byte[]> record) {
      clock.start();
      try {
        Event event = Event.decode(record.value());
        byte[] held = cascades.get(event.cascade);
        byte[] now = added(held, event);
        if (now != null) {
          cascades.put(event.cascade, now);
          if (growth.contains(ByteBuffer.wrap(now).getInt())) {
            context.forward(record.withKey(event.cascade).withValue(snapshot(now)));
            clock.snapshots++;
          }
        }
      } catch (IOException error) {
        throw new IllegalStateException(error);
      }
      clock.count();
    }

    /** The value with an event in it; null where it is there already. */
    private static byte[] added(byte[] held, Event event) {
      int count = 0;
      int kept = 0;
      int byEvent = UNKNOWN;
      int byUser = UNKNOWN;
      if (held != null) {
        ByteBuffer buffer = ByteBuffer.wrap(held);
        count = buffer.getInt();
        kept = (held.length - HEAD_BYTES) / EVENT_BYTES;
        for (int index = 0, at = HEAD_BYTES; index < kept; index++, at += EVENT_BYTES) {
          long known = buffer.getLong(at);
          if (known == event.event) {
            return null;
          }
          if (event.hasParent && known == event.parent) {
            byEvent = index;
          }
          if (byUser == UNKNOWN && event.hasParentUser && buffer.getLong(at + 8) == event.parentUser) {
            byUser = index;
          }
        }
      }
      boolean isKept = kept < maxEvents;
      byte[] now =
          held == null
              ? new byte[HEAD_BYTES + EVENT_BYTES]
              : Arrays.copyOf(held, held.length + (isKept ? EVENT_BYTES : 0));
      ByteBuffer buffer = ByteBuffer.wrap(now);
      buffer.putInt(0, count + 1);
      if (isKept) {
        int parent = event.isPost ? ROOT : byEvent != UNKNOWN ? byEvent : byUser;
        int depth = parent == ROOT ? 0 : 1;
        if (parent >= 0) {
          depth += buffer.getInt(HEAD_BYTES + parent * EVENT_BYTES + 28);
        }
        int at = HEAD_BYTES + kept * EVENT_BYTES;
        buffer.putLong(at, event.event);
        buffer.putLong(at + 8, event.user);
        buffer.putDouble(at + 16, event.time);
        buffer.putInt(at + 24, parent);
        buffer.putInt(at + 28, depth);
      }
      return now;
    }

    /** Count, then delays, parents, depths and users, a column each. */
    private static byte[] snapshot(byte[] held) {
      ByteBuffer from = ByteBuffer.wrap(held);
      int kept = (held.length - HEAD_BYTES) / EVENT_BYTES;
      double first = Double.POSITIVE_INFINITY;
      for (int index = 0; index < kept; index++) {
        first = Math.min(first, from.getDouble(HEAD_BYTES + index * EVENT_BYTES + 16));
      }
      ByteBuffer to = ByteBuffer.allocate(4 + 8 + kept * (4 + 4 + 4 + 8));
      to.putInt(from.getInt()).putDouble(first);
      for (int index = 0; index < kept; index++) {
        to.putFloat((float) (from.getDouble(HEAD_BYTES + index * EVENT_BYTES + 16) - first));
      }
      for (int offset : new int[] {24, 28}) {
        for (int index = 0; index < kept; index++) {
          to.putInt(from.getInt(HEAD_BYTES + index * EVENT_BYTES + offset));
        }
      }
      for (int index = 0; index < kept; index++) {
        to.putLong(from.getLong(HEAD_BYTES + index * EVENT_BYTES + 8));
      }
      return to.array();
    }
  }
}
