"""The part of Unity Catalog that volumes require: `/api/2.1/unity-catalog`."""
