"""tests/lib/cluster.py: a cluster comes up, breaks and comes back."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../lib"))
from cluster import Cluster, ClusterError, bindir  # noqa: E402


@unittest.skipUnless(bindir(), "no PostgreSQL server on this machine")
class ClusterTest(unittest.TestCase):
    def test_life(self):
        with Cluster(fsync=True, settings="work_mem = 5MB") as c:
            folder = c.dir
            self.assertEqual(c.psql("SHOW work_mem; SHOW fsync"), "5MB\non")
            self.assertTrue(c.psql("SELECT postgis_version()").startswith("3."))
            c.psql("CREATE TABLE public.t AS SELECT 7 AS n")
            with self.assertRaises(ClusterError):
                c.psql("SELECT nonsense")
            self.assertEqual(c.backends(), [])
            c.immediate_stop()
            with self.assertRaises(ClusterError):
                c.psql("SELECT 1")
            c.restart()
            self.assertEqual(c.psql("SELECT n FROM t"), "7")
        self.assertFalse(os.path.exists(folder))

    def test_a_folder_that_was_given_stays(self):
        with Cluster() as first:
            keep = first.dir + ".kept"
        with Cluster(folder=keep) as c:
            c.psql("CREATE TABLE public.t AS SELECT 8 AS n")
        with Cluster(folder=keep) as c:
            self.assertEqual(c.psql("SELECT n FROM t"), "8")
            c.keep = False


if __name__ == "__main__":
    unittest.main()
